"""Work whose failure must not end the training: it is reported once."""

from __future__ import annotations

from collections.abc import Callable

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from lightning_factorlens.callbacks._module_forward import as_sentence


class Attempts:
    """Does work of LabelFreeStopping, and warns of its first failure.

    Attributes:
        has_warned: Whether a failure has been reported; False again reports the next one.
    """

    def __init__(self) -> None:
        self.has_warned = False

    def alone(self, event: str, work: Callable[[], object]) -> bool:
        """Does some work in this process.

        Args:
            event: What a failure means, in words that follow the subject.
            work: The work.

        Returns:
            Whether it has succeeded.
        """
        try:
            work()
        except Exception as error:
            self.warn(event, f"{type(error).__name__}: {error}")
            return False
        return True

    def together(self, trainer: Trainer, event: str, work: Callable[[], object]) -> bool:
        """Does some work in all processes, which call this together.

        Args:
            trainer: The Trainer.
            event: As for `alone`.
            work: The work.

        Returns:
            Whether it has succeeded in all of them.
        """
        failed = not self.alone(event, work)
        return not trainer.strategy.reduce_boolean_decision(failed, all=False)

    def warn(self, event: str, cause: str) -> None:
        """Warns, unless that has been done before.

        Args:
            event: As for `alone`.
            cause: Its cause.
        """
        if not self.has_warned:
            self.has_warned = True
            rank_zero_warn(f"LabelFreeStopping {event}: {as_sentence(cause)} Further failures are not reported.")

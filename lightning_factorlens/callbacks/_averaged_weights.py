"""Averages the weights over the later epochs and gives the module that average when ``fit`` ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from lightning_factorlens.callbacks._best_weights import BestWeights
from lightning_factorlens.callbacks._weight_average import WeightAverage
from lightning_factorlens.callbacks._weights_outcome import AVERAGE, NO_BEST_EPOCH, Outcome
from lightning_factorlens.callbacks._weights_store import is_whole

#: Number of epochs after the best one that belong to the average.
EPOCHS_AFTER = 5


class AveragedWeights(BestWeights):
    """The average of the weights up to `EPOCHS_AFTER` epochs after the rule's best one, or up to the last epoch.

    If the training goes on after these epochs, the average stays in a file; a later best epoch makes it void. With
    several processes the first one has the average, of its own buffers, as in a checkpoint; all read it from the file.

    Args:
        name: First part of the name of the file.
    """

    keeps_observations = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._average = WeightAverage()
        self._is_final = False

    def open(self, trainer: Trainer, best_epoch: int | None) -> None:
        """Finds the folder and checks that the weights can be averaged; does so once in a ``fit``.

        Args:
            trainer: The Trainer.
            best_epoch: The rule's best epoch before this ``fit``; None if there is none.

        Raises:
            MisconfigurationException: Each process has only a part of the weights.
        """
        if not is_whole(trainer):
            name = type(trainer.strategy).__name__
            raise MisconfigurationException(
                f"LabelFreeStopping(restore_best='average') needs all weights in each process, found strategy {name}; "
                "pass restore_best=True to end with the weights of the best epoch."
            )
        if not trainer.is_global_zero:
            self._average = WeightAverage()  # that of the checkpoint is the first process's
        super().open(trainer, best_epoch)

    def _resume(self, trainer: Trainer, best_epoch: int | None) -> None:
        """Checks the file that the checkpoint names; where there is no average in it, it begins with this ``fit``."""
        if best_epoch is not None and not self._has_average(trainer):
            self._files.rename(trainer)
            rank_zero_warn(
                "LabelFreeStopping: the checkpoint was written without restore_best='average' and has no average of "
                "the weights; the average begins with the next epoch."
            )
        if self.best is not None:
            self.best, problem = self._checked(trainer, self.best)
            self._is_final = self._is_final and not problem
        self.mark_saved()

    def judge(self, trainer: Trainer, epoch: int, best_epoch: int | None) -> None:
        """Takes the present weights into the average, and keeps it some epochs after the best one.

        Args:
            trainer: The Trainer; all of its processes call this together.
            epoch: The epoch that ends, counted from 1.
            best_epoch: The rule's best epoch; None if there is none.
        """
        event = f"could not average the weights of epoch {epoch}"
        self._attempts.alone(event, lambda: self._update(trainer))
        if best_epoch == epoch:
            self._is_final = False
        elif best_epoch is not None and epoch >= best_epoch + EPOCHS_AFTER and not self._is_final:
            self._keep(trainer, epoch)

    def _update(self, trainer: Trainer) -> None:
        weights = trainer.strategy.lightning_module_state_dict()  # in every process, because modules may communicate
        if trainer.is_global_zero:
            self._average.update(weights)

    def _has_average(self, trainer: Trainer) -> bool:
        has_average: bool = trainer.strategy.broadcast(self._average.n_epochs > 0)
        return has_average

    def _keep(self, trainer: Trainer, epoch: int) -> None:
        self.take(trainer, epoch, self._averaged)
        super().judge(trainer, epoch, best_epoch=epoch)
        self._is_final = self.best is not None

    def _averaged(self, weights: Mapping[str, Any]) -> Mapping[str, Any]:
        """What is written: the average, which the first process has and writes."""
        return self._average.in_place_of(weights)

    def finish(self, trainer: Trainer, best_epoch: int | None) -> Outcome | None:
        """Gives the module the average, and leaves no other file of this run.

        Args:
            trainer: The Trainer.
            best_epoch: The rule's best epoch; None if it has found none, and then the weights stay as they are.

        Returns:
            What was done; None outside of a ``fit``.
        """
        if not self._is_open:
            return None
        self._is_open = False
        if best_epoch is not None and not self._is_final and self._has_average(trainer):
            self._keep(trainer, trainer.current_epoch)
            self._is_final = False  # another `fit` may go on with the average
        best = self.best
        self._files.finish(trainer, None if best is None else best.path)
        if best is None:
            return NO_BEST_EPOCH if best_epoch is None else Outcome("could not keep the average", is_reported=True)
        words = f"restores the average of the weights up to epoch {best.epoch}"
        if best_epoch is not None:
            words += f", where epoch {best_epoch} is the best"
        return self._restore(trainer, best, Outcome(words, AVERAGE, best.epoch))

    def state_dict(self) -> dict[str, Any]:
        """The state: the average itself, and which file the run refers to."""
        return {**super().state_dict(), "average": self._average.state_dict(), "is_final": self._is_final}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a checkpoint.

        Args:
            state: From `state_dict`, or from that of `BestWeights`, whose file is not an average.
        """
        if "average" in state:
            self._continue_with(state)
            self._average.load_state_dict(state["average"])
            self._is_final = state["is_final"]

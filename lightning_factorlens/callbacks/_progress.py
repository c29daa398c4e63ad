"""A line of text in the progress bar while a measurement takes long."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar

if TYPE_CHECKING:
    from typing_extensions import Self


class ProgressLine:
    """Prints a line through the Trainer's progress bar once the context lasts longer than `DELAY_SECONDS`.

    Nothing is printed without a progress bar or with a disabled one, as on all ranks but the first.

    Args:
        trainer: The Trainer whose progress bar prints.
        text: The line, or what returns it when it is printed.
        enabled: Whether to print at all.
    """

    #: Seconds before the line is printed.
    DELAY_SECONDS = 1.0

    def __init__(self, trainer: Trainer, text: str | Callable[[], str], enabled: bool = True) -> None:
        bar = trainer.progress_bar_callback
        can_print = trainer.is_global_zero and bar is not None and not getattr(bar, "is_disabled", False)
        self._bar = bar if enabled and can_print else None
        self._printed = False
        self._printed_at = 0.0
        self._timer = threading.Timer(self.DELAY_SECONDS, self._print_first, [text])
        self._timer.daemon = True

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._timer.ident is not None:
            self._timer.join()  # the line must not be printed after the context has ended

    def finish(self, text: Callable[[], str]) -> None:
        """Prints a second line with the result if the first line was printed.

        Args:
            text: Returns the line; it is called only if it is printed.
        """
        if self._printed:
            self._print(text())

    def _print_first(self, text: str | Callable[[], str]) -> None:
        self._printed = True
        self._print(text() if callable(text) else text)

    def _print(self, text: str) -> None:
        self._printed_at = time.monotonic()
        with contextlib.suppress(Exception):  # a user's progress bar may fail to print, which must not end the training
            assert self._bar is not None
            if isinstance(self._bar, TQDMProgressBar) and not _has_open_bar(self._bar):
                ProgressBar.print(self._bar, text)  # without an open bar that of tqdm prints nothing
            else:
                self._bar.print(text)


class DrawProgress(ProgressLine):
    """Shows how many samples of the probe have been drawn: once after `DELAY_SECONDS`, then every `EVERY_SECONDS`.

    Args:
        trainer: The Trainer whose progress bar prints.
        enabled: Whether to print at all.
    """

    #: Seconds between two lines.
    EVERY_SECONDS = 10.0

    def __init__(self, trainer: Trainer, enabled: bool = True) -> None:
        self._state = "..."
        super().__init__(trainer, self._line, enabled)

    def update(self, n_drawn: int, n_wanted: int) -> None:
        """Notes the number of samples.

        Args:
            n_drawn: Samples that have been drawn.
            n_wanted: Samples that are to be drawn at most.
        """
        self._state = f"{n_drawn} of {n_wanted} samples"
        if self._printed and time.monotonic() - self._printed_at >= self.EVERY_SECONDS:
            self._print(self._line())

    def _line(self) -> str:
        return f"FactorLens draws the probe: {self._state}"


def _has_open_bar(bar: TQDMProgressBar) -> bool:
    """Whether a bar is open, which it is neither after the sanity check nor before the first epoch."""
    for name in ("train_progress_bar", "val_progress_bar"):
        with contextlib.suppress(TypeError):  # before it has been made
            if not getattr(bar, name).disable:
                return True
    return False

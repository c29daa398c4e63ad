"""A line of text in the progress bar while a measurement takes long."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from lightning.pytorch import Trainer


class ProgressLine:
    """Prints a line through the Trainer's progress bar once the context lasts longer than `DELAY_SECONDS`.

    Nothing is printed without a progress bar or with a disabled one, as on all ranks but the first.

    Args:
        trainer: The Trainer whose progress bar prints.
        text: The line.
        enabled: Whether to print at all.
    """

    #: Seconds before the line is printed.
    DELAY_SECONDS = 1.0

    def __init__(self, trainer: Trainer, text: str, enabled: bool = True) -> None:
        bar = trainer.progress_bar_callback
        can_print = trainer.is_global_zero and bar is not None and not getattr(bar, "is_disabled", False)
        self._bar = bar if enabled and can_print else None
        self._printed = False
        self._timer = threading.Timer(self.DELAY_SECONDS, self._print_first, [text])
        self._timer.daemon = True

    def __enter__(self) -> ProgressLine:
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

    def _print_first(self, text: str) -> None:
        self._printed = True
        self._print(text)

    def _print(self, text: str) -> None:
        with contextlib.suppress(Exception):  # a user's progress bar may fail to print, which must not end the training
            assert self._bar is not None
            self._bar.print(text)

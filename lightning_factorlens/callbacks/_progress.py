"""A line beside the progress bar while something takes long."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from lightning.pytorch import Trainer


class ProgressLine:
    """A line through the Trainer's progress bar once something takes longer than ``AFTER``, and one when it is over.

    Nothing where there is no bar, or a disabled one, as on every rank but the first.

    Args:
        trainer: Whose bar it is.
        words: What is going on.
        wanted: False stays silent.
    """

    #: Seconds of silence.
    AFTER = 1.0

    def __init__(self, trainer: Trainer, words: str, wanted: bool = True) -> None:
        bar = trainer.progress_bar_callback
        there = wanted and trainer.is_global_zero and bar is not None and not getattr(bar, "is_disabled", False)
        self._bar, self._begun = bar if there else None, False
        self._timer = threading.Timer(self.AFTER, self._begin, [words])
        self._timer.daemon = True

    def __enter__(self) -> ProgressLine:
        if self._bar is not None:
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._timer.ident is not None:
            self._timer.join()  # no line may come after the end

    def finish(self, words: Callable[[], str]) -> None:
        """Says how it went; only where the first line was said."""
        if self._begun:
            self._say(words())

    def _begin(self, words: str) -> None:
        self._begun = True
        self._say(words)

    def _say(self, words: str) -> None:
        with contextlib.suppress(Exception):  # a bar of the user's own may not print, and training must go on
            assert self._bar is not None
            self._bar.print(words)

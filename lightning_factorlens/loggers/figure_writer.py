"""Draws figures and writes them to the loggers that show them, beside the training where there is a thread for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightning_factorlens.background import BackgroundWorker, Task
from lightning_factorlens.background.fork_gate import fork_gate
from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.loggers.base import run_all
from lightning_factorlens.loggers.figure_schedule import Drawing, Images, image_tag
from lightning_factorlens.loggers.media import MediaLogger
from lightning_factorlens.measurements import FigureSpec


class FigureWriter:
    """Draws and writes the figures of one observation at a time.

    Args:
        figures: Figure by name.
        prefix: First part of the tags.
        budget: Measures what they cost.
        worker: The thread on which figures are drawn; None draws them at once.
    """

    def __init__(
        self, figures: Mapping[str, FigureSpec], prefix: str, budget: OverheadBudget, worker: BackgroundWorker | None
    ) -> None:
        self._figures = figures
        self._prefix = prefix
        self._budget = budget
        self._worker = worker
        self._task: Task[Images] | None = None
        self._targets: Sequence[MediaLogger] = ()
        self._step = 0
        self._failure: Exception | None = None

    @property
    def is_busy(self) -> bool:
        """Whether figures are being drawn, so that `finish` would wait."""
        return self._task is not None and not self._task.is_done

    @property
    def has_begun(self) -> bool:
        """Whether `start` has begun figures that `finish` has not finished."""
        return self._task is not None

    def start(self, drawing: Drawing, targets: Sequence[MediaLogger], step: int) -> None:
        """Draws figures and writes them where the thread may; `finish` does the rest.

        Args:
            drawing: Draws them.
            targets: The loggers that show them.
            step: Position on the x axis.
        """
        self._targets = targets
        self._step = step
        if self._worker is not None:
            self._task = self._worker.submit(lambda: self._draw(drawing))
            return
        with self._budget.drawing():
            self._write(drawing(), targets)

    def finish(self) -> None:
        """Waits for the figures that `start` has begun, and writes them to the other loggers.

        Raises:
            Exception: Drawing or writing has failed.
        """
        task = self._task
        if task is None:
            return
        waited = task.wait()
        self._task = None  # not earlier: an interrupt while it waits must leave the figures to the end of the run
        self._budget.add_background_figures(task.seconds, waited)
        images = task.result()
        failure, self._failure = self._failure, None
        try:
            self._write(images, [target for target in self._targets if not target.writes_from_any_thread])
        finally:
            if failure is not None:
                raise failure

    def _draw(self, drawing: Drawing) -> Images:
        """The work of the other thread."""
        images = drawing()
        try:
            self._write(images, [target for target in self._targets if target.writes_from_any_thread])
        except Exception as error:  # the other loggers get the figures all the same
            self._failure = error
        return images

    def _write(self, images: Images, targets: Sequence[MediaLogger]) -> None:
        def write_to(target: MediaLogger) -> None:
            for name, pixels in images.items():
                with fork_gate.unit():
                    target.log_image(image_tag(name, self._figures, self._prefix), pixels, self._step)

        run_all(targets, write_to, "loggers")

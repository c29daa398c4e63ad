"""Writes observations to all of Lightning's loggers; the failure of one does not affect the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from lightning_factorlens._validation import check_choice
from lightning_factorlens.background import BackgroundWorker
from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.config import TensorBoardOptions
from lightning_factorlens.loggers.base import logger_prefix, run_all
from lightning_factorlens.loggers.best_values import BestValues
from lightning_factorlens.loggers.detail import at_detail, scalars_at_detail
from lightning_factorlens.loggers.figure_schedule import Drawing, FigureSchedule, numbered_figures
from lightning_factorlens.loggers.figure_writer import FigureWriter
from lightning_factorlens.loggers.labels import check_prefix
from lightning_factorlens.loggers.media_of_loggers import MediaOfLoggers
from lightning_factorlens.loggers.run_summary import run_summary
from lightning_factorlens.loggers.scalars import is_tensorboard_logger, write_scalars
from lightning_factorlens.loggers.tags import PREFIX, TaggedValue, tagged_values
from lightning_factorlens.measurements import DETAILS, Detail, Measurement, Scalar, default_measurements
from lightning_factorlens.results import Observation
from lightning_factorlens.results.findings import StopAdvice


class MetricsLogger(Protocol):
    """The method that a logger must have; all of Lightning's loggers have it."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Writes scalars at a step."""


class LoggerSink:
    """Writes the scalars of an observation to every logger, and figures to those that show them.

    It is used on rank zero, where loggers write. The scalars go to the loggers directly, because hundreds of keys
    through ``LightningModule.log`` would cost many times more.

    Args:
        loggers: Lightning's loggers, or anything with ``log_metrics(metrics, step)``.
        measurements: The measurements that make the observations; `default_measurements` unless given.
        prefix: First part of the tags.
        options: What is shown besides scalars.
        extra_scalars: Scalars that other callbacks log under the same prefix, for the layout and the help page.
        notify: Called once with a message that names the loggers which show no figures; None for no message.
        history: See `FigureSchedule`.
        budget: See `FigureSchedule`; it also measures what figures cost.
        detail: Which scalars and histograms are written: ``"summary"``, ``"layers"`` or ``"all"``.
        advice: Returns the decision of a stopping rule for the summary of the run; None for no rule.
        worker: The thread on which figures are drawn beside the training; None draws them while `write` is called.
        completes_cost: Whether `complete` is called after every `write`: the cost of an observation, of which writing
            is a part, is written then.

    Raises:
        ValueError: A wrong prefix or level of detail.
    """

    def __init__(
        self,
        loggers: Iterable[MetricsLogger],
        measurements: Sequence[Measurement] | None = None,
        prefix: str = PREFIX,
        options: TensorBoardOptions | None = None,
        extra_scalars: Sequence[Scalar] = (),
        notify: Callable[[str], None] | None = None,
        history: Sequence[Observation] | None = None,
        budget: OverheadBudget | None = None,
        detail: Detail = "summary",
        advice: Callable[[], StopAdvice | None] | None = None,
        worker: BackgroundWorker | None = None,
        completes_cost: bool = False,
    ) -> None:
        check_choice("detail", detail, DETAILS)
        self.loggers = tuple(loggers)
        self.measurements = list(default_measurements() if measurements is None else measurements)
        self.prefix = check_prefix(prefix)
        self.options = options or TensorBoardOptions()
        self.detail = detail
        self.extra_scalars = tuple(scalars_at_detail(extra_scalars, detail))
        self.notify = notify
        figures = numbered_figures(self.measurements)
        budget = OverheadBudget() if budget is None else budget
        self.figures = FigureSchedule(figures, self.options.figures_every_n, history, budget, advice)
        self._figure_writer = FigureWriter(figures, self.prefix, budget, worker)
        self._completes_cost = completes_cost
        self._advice = advice
        self._best = BestValues(self.measurements, self.prefix, history or ())
        self._media = MediaOfLoggers(
            self.measurements, self.extra_scalars, self.prefix, self.detail, self.options.layout
        )
        self._charted: dict[str, TaggedValue] = {}
        self._last_position: tuple[int, int] | None = None
        self._last_tags: set[str] = set()

    def write(self, observation: Observation) -> None:
        """Writes to every logger; of an observation that is written again, completed, only what is new.

        Args:
            observation: The observation with its tensors.

        Raises:
            Exception: An error of any of the loggers, after all have been written, see `run_all`.
        """
        position = (observation.epoch, observation.step)
        if position != self._last_position:
            self._last_position = position
            self._last_tags.clear()
        metrics = self._new_metrics(observation, with_cost=not self._completes_cost)
        metrics |= self._best.update(observation, self._decision)
        self._last_tags.update(metrics)
        drawing = self.figures.add(observation)

        def write_to(logger: Any) -> None:
            _log_metrics(logger, metrics, observation.step)
            self._media.write(logger, observation, list(self._charted.values()))

        try:
            run_all(self.loggers, write_to, "loggers")
        finally:
            self._notify_once()
            self._start_figures(drawing, observation.step)  # last, because drawing may fail

    def _new_metrics(self, observation: Observation, with_cost: bool) -> dict[str, float]:
        """The scalars of an observation that have not been written for it, by tag."""
        metrics = {}
        for entry in at_detail(list(tagged_values(observation, self.measurements, self.prefix)), self.detail):
            self._charted.setdefault(entry.tag, entry)
            if entry.tag not in self._last_tags and (with_cost or entry.measurement != "cost"):
                metrics[entry.tag] = entry.value.value
        return metrics

    def _start_figures(self, drawing: Drawing | None, step: int) -> None:
        targets = [media for media in map(self._media.of, self.loggers) if media is not None]
        if drawing is not None and targets:
            self._figure_writer.start(drawing, targets, step)

    @property
    def is_busy(self) -> bool:
        """Whether figures are being drawn, so that `finish` would wait."""
        return self._figure_writer.is_busy

    @property
    def has_figures_to_finish(self) -> bool:
        """Whether `write` has begun figures that `finish` has not finished."""
        return self._figure_writer.has_begun

    def finish(self) -> None:
        """Waits for the figures that `write` has begun, and writes those that only the calling thread may write.

        Raises:
            Exception: Drawing or writing has failed.
        """
        self._figure_writer.finish()

    def complete(self, observation: Observation) -> None:
        """Writes what `write` has left out: the cost of the observation.

        Args:
            observation: The observation that was written last, with its whole cost.

        Raises:
            Exception: An error of any of the loggers, after all have been written, see `run_all`.
        """
        metrics = self._new_metrics(observation, with_cost=True)
        self._last_tags.update(metrics)
        run_all(self.loggers, lambda logger: _log_metrics(logger, metrics, observation.step), "loggers")

    @property
    def _decision(self) -> StopAdvice | None:
        """What the run's stopping rule has decided so far; about the newest observation it decides after `write`."""
        return None if self._advice is None else self._advice()

    def close(self) -> None:
        """Draws the figures that are still due and drops the history; the Trainer closes the loggers.

        Raises:
            Exception: An error of any of the loggers, see `run_all`.
        """
        last = self.figures.last
        best = self._best.decide(self._decision) if last is not None else {}

        def close_for(logger: Any) -> None:
            """Writes the last best values, the summary and the projector of one logger."""
            if last is not None and best:
                _log_metrics(logger, best, last.step)
            media = self._media.known(logger)
            if media is None or last is None:
                return
            summary = run_summary(self.figures.history, self.measurements, self.prefix, self._decision)
            media.log_text(f"{self.prefix}/result", summary, last.step)
            if self.figures.every_n:
                media.log_embedding(f"{self.prefix}_F", last)

        try:
            if last is not None:
                self._start_figures(self.figures.flush(), last.step)
                self.finish()
        finally:
            try:
                run_all(self.loggers, close_for, "loggers")
            finally:
                self._forget()

    def _forget(self) -> None:
        self._media.clear()
        self._last_position = None
        self.figures.clear()
        self._best = BestValues(self.measurements, self.prefix)

    def _notify_once(self) -> None:
        """Sends the message about loggers that show no figures, unless it was sent or no figures are wanted."""
        notify = self.notify
        self.notify = None
        if notify is not None and self.figures.every_n:
            self._media.notify(self.loggers, notify)


def _log_metrics(logger: Any, metrics: dict[str, float], step: int) -> None:
    """Writes scalars to one logger."""
    if not metrics:
        return
    if is_tensorboard_logger(logger):
        write_scalars(logger.experiment, metrics, step, logger_prefix(logger))
    else:
        logger.log_metrics(dict(metrics), step=step)  # a copy: some loggers change theirs

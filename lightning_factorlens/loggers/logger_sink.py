"""Writes observations to all of Lightning's loggers; the failure of one does not affect the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from lightning_factorlens.config import TensorBoardOptions
from lightning_factorlens.loggers.base import logger_prefix, run_all
from lightning_factorlens.loggers.figure_schedule import FigureSchedule, Images, image_tag, numbered_figures
from lightning_factorlens.loggers.labels import check_prefix, scope_labels
from lightning_factorlens.loggers.layout import scalar_layout
from lightning_factorlens.loggers.media import MediaLogger
from lightning_factorlens.loggers.media_registry import get_media_logger
from lightning_factorlens.loggers.scalars import is_tensorboard_logger, write_scalars
from lightning_factorlens.loggers.tags import PREFIX, TaggedValue, tagged_values
from lightning_factorlens.loggers.text_reports import metric_guide, run_summary
from lightning_factorlens.measurements import Measurement, Scalar, default_measurements
from lightning_factorlens.results import Observation


class MetricsLogger(Protocol):
    """The method that a logger must have; all of Lightning's loggers have it."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Writes scalars at a step."""


class LoggerSink:
    """Writes every scalar of an observation to every logger, and figures to those that show them.

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
    ) -> None:
        self.loggers = tuple(loggers)
        self.measurements = list(default_measurements() if measurements is None else measurements)
        self.prefix = check_prefix(prefix)
        self.options = options or TensorBoardOptions()
        self.extra_scalars = tuple(extra_scalars)
        self.notify = notify
        self.figures = FigureSchedule(numbered_figures(self.measurements), self.options.figures_every_n, history)
        self._media: dict[int, MediaLogger | None] = {}
        self._charted: dict[str, TaggedValue] = {}

    def write(self, observation: Observation) -> None:
        """Writes to every logger.

        Args:
            observation: The observation with its tensors.

        Raises:
            Exception: An error of any of the loggers, after all have been written, see `run_all`.
        """
        tagged = list(tagged_values(observation, self.measurements, self.prefix))
        images = _lazily(lambda: self.figures.add(observation))
        metrics = {}
        for entry in tagged:
            metrics[entry.tag] = entry.value.value
            self._charted.setdefault(entry.tag, entry)

        def write_to(logger: Any) -> None:
            if is_tensorboard_logger(logger):
                write_scalars(logger.experiment, metrics, observation.step, logger_prefix(logger))
            else:
                logger.log_metrics(dict(metrics), step=observation.step)  # a copy: some loggers change theirs
            media = self._media_of(logger)
            if media is not None:
                self._write_media(media, logger, observation)
                self._write_images(media, images(), observation.step)  # last, because drawing may fail

        try:
            run_all(self.loggers, write_to, "loggers")
        finally:
            self._notify_once()

    def close(self) -> None:
        """Draws the figures that are still due and drops the history; the Trainer closes the loggers.

        Raises:
            Exception: An error of any of the loggers, see `run_all`.
        """
        images = _lazily(self.figures.flush)
        last = self.figures.last

        def close_for(logger: Any) -> None:
            media = self._media.get(id(logger))
            if media is None or last is None:
                return
            self._write_images(media, images(), last.step)
            summary = run_summary(self.figures.history, self.measurements, self.prefix)
            media.log_text(f"{self.prefix}/result", summary, last.step)
            if self.figures.every_n:
                media.log_embedding(f"{self.prefix}_F", last)

        try:
            run_all(self.loggers, close_for, "loggers")
        finally:
            self._media.clear()
            self.figures.clear()

    def _media_of(self, logger: Any) -> MediaLogger | None:
        """The media logger of a logger, if it has one; at the first observation the guide to the metrics is written."""
        key = id(logger)  # stays unique, because the sink holds the logger
        if key not in self._media:
            media = get_media_logger(logger)
            self._media[key] = media
            if media is not None:
                guide = metric_guide(self.measurements, self.extra_scalars, self.prefix)
                media.log_text(f"{self.prefix}/how_to_read", guide, 0)
        return self._media[key]

    def _write_media(self, media: MediaLogger, logger: Any, observation: Observation) -> None:
        """The layout, with every tag that has appeared so far, and the histograms."""
        if self.options.layout:
            charted = list(self._charted.values())
            media.log_layout(scalar_layout(charted, self.extra_scalars, self.prefix, logger_prefix(logger)))
        for measurement in self.measurements:
            record = observation.get(measurement.name)
            if record is None:
                continue
            histograms = list(measurement.histograms(record))
            scopes = []
            for _, scope, _ in histograms:
                scopes.append(scope)
            labels = scope_labels(list(record.values()), scopes)
            for template, scope, values in histograms:
                tag = template.format(prefix=self.prefix, scope=labels[scope])
                media.log_histogram(tag, values, observation.step)

    def _write_images(self, media: MediaLogger, images: Images, step: int) -> None:
        for name, pixels in images.items():
            media.log_image(image_tag(name, self.figures.figures, self.prefix), pixels, step)

    def _notify_once(self) -> None:
        """Sends one message about all loggers that were found to show no figures."""
        notify = self.notify
        self.notify = None
        names: dict[str, None] = {}
        for logger in self.loggers:
            key = id(logger)
            if key in self._media and self._media[key] is None:
                names[type(logger).__name__] = None
        if notify is not None and names and self.figures.every_n:
            notify(
                f"FactorLens: {' and '.join(names)} cannot show figures and gets all numbers. TensorBoardLogger, "
                "WandbLogger, MLFlowLogger and CometLogger show them, also beside it; figures_every_n=0 draws none."
            )


def _lazily(draw: Callable[[], Images]) -> Callable[[], Images]:
    """Draws at the first call and returns the same images at later ones."""
    drawn: list[Images] = []

    def images() -> Images:
        if not drawn:
            drawn.append(draw())
        return drawn[0]

    return images

"""What loggers show besides scalars: the guide to the metrics, the layout, histograms; and which loggers show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lightning_factorlens.loggers.base import logger_prefix
from lightning_factorlens.loggers.detail import includes
from lightning_factorlens.loggers.labels import scope_labels
from lightning_factorlens.loggers.layout import scalar_layout
from lightning_factorlens.loggers.media import MediaLogger
from lightning_factorlens.loggers.media_registry import get_media_logger
from lightning_factorlens.loggers.tags import TaggedValue
from lightning_factorlens.loggers.text_reports import help_tag, metric_guide
from lightning_factorlens.measurements import Detail, Measurement, Scalar
from lightning_factorlens.results import Observation


class MediaOfLoggers:
    """Finds the media loggers of some loggers, and writes to them what belongs to no single figure.

    Args:
        measurements: The measurements that make the observations.
        extra_scalars: Scalars that other callbacks log under the same prefix.
        prefix: First part of the tags.
        detail: Which histograms are written.
        has_layout: Whether loggers get a layout of the scalars.
    """

    def __init__(
        self,
        measurements: Sequence[Measurement],
        extra_scalars: Sequence[Scalar],
        prefix: str,
        detail: Detail,
        has_layout: bool,
    ) -> None:
        self._measurements = measurements
        self._extra_scalars = extra_scalars
        self._prefix = prefix
        self._detail = detail
        self._has_layout = has_layout
        self._found: dict[int, MediaLogger | None] = {}

    def of(self, logger: Any) -> MediaLogger | None:
        """The media logger of a logger, if it has one; the first call writes the guide to the metrics.

        Args:
            logger: One of the loggers; the caller holds it, so that its identity stays unique.
        """
        key = id(logger)
        if key not in self._found:
            media = get_media_logger(logger)
            self._found[key] = media
            if media is not None:
                guide = metric_guide(self._measurements, self._extra_scalars, self._prefix)
                media.log_guide(help_tag(self._prefix), guide)
        return self._found[key]

    def known(self, logger: Any) -> MediaLogger | None:
        """The media logger that `of` has found for a logger; None where it was not asked."""
        return self._found.get(id(logger))

    def write(self, logger: Any, observation: Observation, charted: Sequence[TaggedValue]) -> None:
        """Writes the layout and the histograms of an observation, if the logger shows them.

        Args:
            logger: One of the loggers.
            observation: The observation.
            charted: Every scalar that has been written so far.
        """
        media = self.of(logger)
        if media is None:
            return
        if self._has_layout:
            media.log_layout(scalar_layout(charted, self._extra_scalars, self._prefix, logger_prefix(logger)))
        for measurement in self._measurements:
            record = observation.get(measurement.name)
            if record is None or not includes(self._detail, measurement.histogram_detail):
                continue
            histograms = list(measurement.histograms(record))
            scopes = []
            for _, scope, _ in histograms:
                scopes.append(scope)
            labels = scope_labels(list(record.values()), scopes)
            for template, scope, values in histograms:
                tag = template.format(prefix=self._prefix, scope=labels[scope])
                media.log_histogram(tag, values, observation.step)

    def notify(self, loggers: Sequence[Any], notify: Callable[[str], None]) -> None:
        """Sends one message about all loggers that were found to show no figures.

        Args:
            loggers: The loggers.
            notify: Receives the message; not called where all show figures.
        """
        names: dict[str, None] = {}
        for logger in loggers:
            key = id(logger)
            if key in self._found and self._found[key] is None:
                names[type(logger).__name__] = None
        if names:
            notify(
                f"FactorLens: {' and '.join(names)} cannot show figures and gets all numbers. TensorBoardLogger, "
                "WandbLogger, MLFlowLogger and CometLogger show them, also beside it; figures_every_n=0 draws none."
            )

    def clear(self) -> None:
        """Forgets the media loggers at the end of a run."""
        self._found.clear()

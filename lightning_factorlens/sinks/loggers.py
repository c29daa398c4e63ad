"""Observations into Lightning's loggers, all of them, whatever one of them does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from lightning_factorlens.sinks.tags import PREFIX, checked_prefix, details, summaries
from lightning_factorlens.sinks.tensorboard import TensorBoardExtras
from lightning_factorlens.types import Observation

DRAWS = ("add_figure", "add_histogram", "add_custom_scalars")


class MetricsLogger(Protocol):
    """What is asked of a logger; Lightning's all have it."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write scalars at a step."""


class LoggerSink:
    """Every scalar of an observation into every logger, and pictures into those that take them.

    To be used where loggers write, on rank zero. The scalars go straight to the loggers: hundreds of keys
    through ``LightningModule.log`` would cost many times more.

    Args:
        loggers: Lightning's loggers, or anything with ``log_metrics(metrics, step)``.
        prefix: What the tags begin with.
        layout: Whether TensorBoard gets a custom-scalars layout, which replaces a layout of the user's own.
        figures_every: Figures at the first and then every so many observations; 0 for none.
    """

    def __init__(
        self,
        loggers: Iterable[MetricsLogger],
        prefix: str = PREFIX,
        layout: bool = True,
        figures_every: int = 1,
    ) -> None:
        self.loggers = tuple(loggers)
        self.prefix = checked_prefix(prefix)
        self.layout = layout
        self.figures_every = figures_every
        self._extras: dict[int, TensorBoardExtras] = {}

    def write(self, observation: Observation) -> None:
        """Write to every logger, then raise what any of them raised.

        Raises:
            RuntimeError: When more than one logger failed; a single failure is raised as it came.
        """
        metrics = summaries(observation, self.prefix) | details(observation, self.prefix)
        errors: list[Exception] = []
        for logger in self.loggers:
            try:
                logger.log_metrics(dict(metrics), step=observation.step)  # a copy: some loggers edit theirs
                self._draw(logger, observation)
            except Exception as error:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            failures = "; ".join(f"{type(error).__name__}: {error}" for error in errors)
            raise RuntimeError(f"{len(errors)} of {len(self.loggers)} loggers failed: {failures}") from errors[0]

    def close(self) -> None:
        """Draw what is left to draw and forget the history; the loggers are the Trainer's to close."""
        for extras in self._extras.values():
            extras.close()
        self._extras.clear()

    def _draw(self, logger: Any, observation: Observation) -> None:
        writer = getattr(logger, "experiment", None)
        if not all(hasattr(writer, method) for method in DRAWS):
            return
        key = id(writer)  # a number stays this writer's: the extras hold the writer
        if key not in self._extras:
            self._extras[key] = TensorBoardExtras(
                writer, self.prefix, self.layout, self.figures_every, _logger_prefix(logger)
            )
        self._extras[key].write(observation)


def _logger_prefix(logger: Any) -> str:
    """What the logger itself puts before every tag, which the layout must repeat to match."""
    prefix = getattr(logger, "_prefix", "")
    return f"{prefix}{getattr(logger, 'LOGGER_JOIN_CHAR', '-')}" if isinstance(prefix, str) and prefix else ""

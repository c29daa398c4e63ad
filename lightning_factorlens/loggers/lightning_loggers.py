"""Observations into Lightning's loggers, all of them, whatever one of them does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

from lightning_factorlens._private_api import logger_name_prefix
from lightning_factorlens.loggers.base import run_all
from lightning_factorlens.loggers.figure_schedule import FigureSchedule, Pictures
from lightning_factorlens.loggers.media import MediaLogger, get_media_logger
from lightning_factorlens.loggers.scalars import is_tensorboard_logger, write_scalars
from lightning_factorlens.loggers.tags import PREFIX, check_prefix, monitored_scalars, other_scalars
from lightning_factorlens.loggers.tensorboard import REQUIRED_METHODS, TensorBoardExtras
from lightning_factorlens.loggers.text_reports import metric_guide, run_summary
from lightning_factorlens.results import Observation


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
        figures_every_n: Figures at the first, then every so many observations, and the last; 0 for none.
        others: Tags under the same prefix that other callbacks log; TensorBoard's layout shows them too.
        tell: Is told once, in a sentence, which loggers show no pictures; None tells nobody.
    """

    def __init__(
        self,
        loggers: Iterable[MetricsLogger],
        prefix: str = PREFIX,
        layout: bool = True,
        figures_every_n: int = 1,
        others: Collection[str] = (),
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.loggers = tuple(loggers)
        self.prefix = check_prefix(prefix)
        self.layout = layout
        self.album = FigureSchedule(figures_every_n)
        self.others = tuple(others)
        self.tell = tell
        self._extras: dict[int, TensorBoardExtras] = {}
        self._galleries: dict[int, MediaLogger | None] = {}

    def write(self, observation: Observation) -> None:
        """Write to every logger, then raise what any of them raised, see `each`."""
        metrics = monitored_scalars(observation, self.prefix) | other_scalars(observation, self.prefix)
        pictures = _once(lambda: self.album.add(observation))

        def one(logger: Any) -> None:
            if is_tensorboard_logger(logger):
                write_scalars(logger.experiment, metrics, observation.step, logger_prefix(logger))
            else:
                logger.log_metrics(dict(metrics), step=observation.step)  # a copy: some loggers edit theirs
            extras = self._extras_of(logger)
            if extras is not None:
                extras.write(observation, {}, self.others)
                extras.draw(pictures(), observation.step)  # last: what fails in drawing costs nothing else
            elif self.album.every:
                self._exhibit(logger, pictures, observation.step)

        try:
            run_all(self.loggers, one, "loggers")
        finally:
            self._tell_once()

    def close(self) -> None:
        """Draw what is left to draw and forget the history; the loggers are the Trainer's to close.

        Raises what any of them raised, see `each`.
        """
        pictures, last = _once(self.album.flush), self.album.last

        def one(logger: Any) -> None:
            extras, gallery = self._extras_of(logger), self._galleries.get(id(logger))
            if extras is not None and last is not None:
                extras.draw(pictures(), last.step)
                extras.close(last, self.album.history, projector=self.album.every > 0)
            if gallery is not None and last is not None:
                self._hang(gallery, pictures(), last.step)
                gallery.log_text(f"{self.prefix}/result", run_summary(self.album.history, self.prefix), last.step)

        try:
            run_all(self.loggers, one, "loggers")
        finally:
            self._extras.clear()
            self._galleries.clear()
            self.album.clear()

    def _exhibit(self, logger: Any, pictures: Callable[[], Pictures], step: int) -> None:
        """Pictures and the card in the logger's own way, if it has one."""
        key = id(logger)  # a number stays this logger's: the sink holds the logger
        if key not in self._galleries:
            gallery = self._galleries[key] = get_media_logger(logger)
            if gallery is not None:
                gallery.log_text(f"{self.prefix}/how_to_read", metric_guide(self.prefix), 0)
        gallery = self._galleries[key]
        if gallery is not None:
            self._hang(gallery, pictures(), step)

    def _hang(self, gallery: MediaLogger, pictures: Pictures, step: int) -> None:
        for name, pixels in pictures.items():
            gallery.log_image(f"{self.prefix}_figures/{name}", pixels, step)

    def _tell_once(self) -> None:
        """One sentence for all loggers that were found to take no picture."""
        tell, self.tell = self.tell, None
        blind = {key for key, gallery in self._galleries.items() if gallery is None}
        if tell is not None and blind:
            names = " and ".join(dict.fromkeys(type(x).__name__ for x in self.loggers if id(x) in blind))
            tell(
                f"FactorLens: {names} cannot show pictures and gets all numbers. TensorBoardLogger, WandbLogger, "
                "MLFlowLogger and CometLogger show them, also beside it; figures_every_n=0 asks for none."
            )

    def _extras_of(self, logger: Any) -> TensorBoardExtras | None:
        """What TensorBoard gets beside scalars; None for any other logger."""
        writer = getattr(logger, "experiment", None)
        if not all(hasattr(writer, method) for method in REQUIRED_METHODS):
            return None
        key = id(writer)  # a number stays this writer's: the extras hold the writer
        if key not in self._extras:
            self._extras[key] = TensorBoardExtras(writer, self.prefix, self.layout, logger_prefix(logger))
        return self._extras[key]


def logger_prefix(logger: Any) -> str:
    """What the logger itself puts before every tag, which the layout must repeat to match."""
    prefix = logger_name_prefix(logger)
    return f"{prefix}{getattr(logger, 'LOGGER_JOIN_CHAR', '-')}" if isinstance(prefix, str) and prefix else ""


def _once(draw: Callable[[], Pictures]) -> Callable[[], Pictures]:
    """Draws when first asked, so that pictures nobody can show cost nothing, and then hands out the same."""
    drawn: list[Pictures] = []

    def pictures() -> Pictures:
        if not drawn:
            drawn.append(draw())
        return drawn[0]

    return pictures

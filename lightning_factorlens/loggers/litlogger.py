"""Images and texts on lightning.ai, through the experiment that the user's LitLogger writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightning_factorlens.loggers.base import comes_from, logger_prefix
from lightning_factorlens.loggers.media import MediaLogger


class LitMediaLogger(MediaLogger):
    """Appends to the series of a ``litlogger`` experiment, as LitLogger does with scalars.

    Args:
        experiment: The logger's ``litlogger.Experiment``, whose series are read by their names.
        tag_prefix: Text that the logger puts before every tag.
    """

    def __init__(self, experiment: Any, tag_prefix: str = "") -> None:
        self.experiment = experiment
        self.tag_prefix = tag_prefix

    @classmethod
    def wrap(cls, logger: Any) -> LitMediaLogger | None:
        """Wraps a logger with such an experiment; returns None for any other."""
        experiment = getattr(logger, "experiment", None)
        if not comes_from("litlogger", experiment):
            return None
        return cls(experiment, logger_prefix(logger))

    def log_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Writes one image."""
        from litlogger import Image

        self.experiment[self.tag_prefix + tag].append(Image(pixels), step=step)

    def log_text(self, tag: str, text: str, step: int) -> None:
        """Writes one text."""
        from litlogger import Text

        self.experiment[self.tag_prefix + tag].append(Text(text), step=step)

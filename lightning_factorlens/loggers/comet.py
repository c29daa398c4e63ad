"""Images and texts in Comet, through the experiment that the user's CometLogger writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightning_factorlens._private_api.loggers import logger_name_prefix
from lightning_factorlens.loggers.base import has_methods
from lightning_factorlens.loggers.media import MediaLogger
from lightning_factorlens.plots.style import to_png


class CometMediaLogger(MediaLogger):
    """Writes through Comet's experiment, online or offline.

    Args:
        experiment: The logger's ``comet_ml`` experiment.
        tag_prefix: Text that the logger puts before every tag.
    """

    def __init__(self, experiment: Any, tag_prefix: str = "") -> None:
        self.experiment = experiment
        self.tag_prefix = tag_prefix

    @classmethod
    def wrap(cls, logger: Any) -> CometMediaLogger | None:
        """Wraps a logger with such an experiment; returns None for any other."""
        experiment = getattr(logger, "experiment", None)
        if not has_methods(experiment, "log_image", "log_text", "log_metrics", "get_key"):
            return None
        prefix = logger_name_prefix(logger)
        return cls(experiment, f"{prefix}_" if prefix else "")  # Comet joins prefix and tag with an underscore

    def log_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Writes one image."""
        file = to_png(pixels)  # a file instead of the array, which comet_ml 3.58 cannot read under numpy 2
        self.experiment.log_image(file, name=self.tag_prefix + tag, step=step)

    def log_text(self, tag: str, text: str, step: int) -> None:
        """Writes a text under its name."""
        self.experiment.log_text(text, step=step, metadata={"name": self.tag_prefix + tag})

"""Pictures and text into Comet, through the experiment that the user's CometLogger writes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np

from lightning_factorlens._private_api import logger_name_prefix
from lightning_factorlens.loggers.base import has_methods
from lightning_factorlens.loggers.media import MediaLogger


class CometMediaLogger(MediaLogger):
    """Comet's experiment takes pictures and texts, online and offline alike.

    Args:
        experiment: The logger's ``comet_ml`` experiment.
        tag_prefix: What the logger puts before every tag; Comet joins with an underscore.
    """

    def __init__(self, experiment: Any, tag_prefix: str = "") -> None:
        self.experiment, self.tag_prefix = experiment, tag_prefix

    @classmethod
    def wrap(cls, logger: Any) -> CometMediaLogger | None:
        """For a logger with such an experiment; None for any other."""
        experiment, prefix = getattr(logger, "experiment", None), logger_name_prefix(logger)
        if not has_methods(experiment, "log_image", "log_text", "log_metrics", "get_key"):
            return None
        return cls(experiment, f"{prefix}_" if prefix else "")

    def log_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """One picture at a step."""
        from matplotlib.image import imsave

        file = BytesIO()  # and not the pixels: comet_ml 3.58 cannot read them under numpy 2
        imsave(file, pixels, format="png")
        file.seek(0)
        self.experiment.log_image(file, name=self.tag_prefix + tag, step=step)

    def log_text(self, tag: str, text: str, step: int) -> None:
        """A text, under its name."""
        self.experiment.log_text(text, step=step, metadata={"name": self.tag_prefix + tag})

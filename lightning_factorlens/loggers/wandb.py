"""Images and texts in Weights & Biases, through the WandbLogger that the user made."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from lightning_factorlens.loggers.base import has_methods
from lightning_factorlens.loggers.media import MediaLogger


class WandbMediaLogger(MediaLogger):
    """Writes through Lightning's WandbLogger, which adds its own prefix and its own x axis.

    Args:
        logger: The WandbLogger, or another with its methods ``log_image(key, images, step)`` and
            ``log_text(key, columns, data, step)``.
    """

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    @classmethod
    def wrap(cls, logger: Any) -> WandbMediaLogger | None:
        """Wraps a logger with these two methods; returns None for any other."""
        if not has_methods(logger, "log_image", "log_text"):
            return None
        image_parameters = set(inspect.signature(logger.log_image).parameters)
        text_parameters = set(inspect.signature(logger.log_text).parameters)
        if not {"images", "step"} <= image_parameters or not {"columns", "data", "step"} <= text_parameters:
            return None
        return cls(logger)

    def log_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Writes one image beside the scalars of its step."""
        self.logger.log_image(tag, [pixels], step=step)

    def log_text(self, tag: str, text: str, step: int) -> None:
        """Writes a text as a table with one cell, which is the form that Weights & Biases has for texts."""
        self.logger.log_text(tag, columns=["text"], data=[[text]], step=step)

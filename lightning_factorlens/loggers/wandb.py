"""Pictures and text into Weights & Biases, through the WandbLogger that the user made."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from lightning_factorlens.loggers.base import has_methods
from lightning_factorlens.loggers.media import MediaLogger


class WandbMediaLogger(MediaLogger):
    """Lightning's WandbLogger takes pictures and texts itself: it adds its own prefix, and its own x axis.

    Args:
        logger: The WandbLogger, or one with its ``log_image(key, images, step)`` and ``log_text(key, columns, data)``.
    """

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    @classmethod
    def wrap(cls, logger: Any) -> WandbMediaLogger | None:
        """For a logger that takes both as this one does; None for any other."""
        if not has_methods(logger, "log_image", "log_text"):
            return None
        image, text = (set(inspect.signature(m).parameters) for m in (logger.log_image, logger.log_text))
        return cls(logger) if {"images", "step"} <= image and {"columns", "data", "step"} <= text else None

    def log_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """One picture at a step, beside the scalars of that step."""
        self.logger.log_image(tag, [pixels], step=step)

    def log_text(self, tag: str, text: str, step: int) -> None:
        """A text is a table of one cell there."""
        self.logger.log_text(tag, columns=["text"], data=[[text]], step=step)

"""Images through any logger that has the method ``log_image`` of Lightning's loggers."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from lightning_factorlens.loggers.base import has_methods
from lightning_factorlens.loggers.media import MediaLogger


class ImageMediaLogger(MediaLogger):
    """Writes through ``log_image(key, images, step=…)``, the signature that Lightning's WandbLogger has; no texts.

    Args:
        logger: The logger, which adds its own prefix.
    """

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    @classmethod
    def wrap(cls, logger: Any) -> ImageMediaLogger | None:
        """Wraps a logger with this method; returns None for any other, also where it takes no step."""
        if not has_methods(logger, "log_image"):
            return None
        parameters = inspect.signature(logger.log_image).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        if "images" not in parameters or not ("step" in parameters or takes_any):
            return None
        return cls(logger)

    def log_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Writes one image."""
        self.logger.log_image(tag, images=[pixels], step=step)

    def log_text(self, tag: str, text: str, step: int) -> None:
        """Loggers have no common method for texts: nothing is written."""

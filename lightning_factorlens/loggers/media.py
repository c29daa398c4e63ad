"""Loggers other than TensorBoard that can show a picture: each has its own way, chosen by what the logger can do."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from lightning_factorlens.loggers.comet import CometMediaLogger
from lightning_factorlens.loggers.mlflow import MLflowMediaLogger
from lightning_factorlens.loggers.wandb import WandbMediaLogger


class MediaLogger(Protocol):
    """A logger's own way with pictures and words."""

    def log_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """One picture, uint8, shape (height, width, 3), at a step."""

    def log_text(self, tag: str, words: str, step: int) -> None:
        """A text in Markdown at a step."""


def get_media_logger(logger: Any) -> MediaLogger | None:
    """The way of this logger; None for one that takes scalars alone, as Lightning's CSVLogger."""
    galleries = (kind.of(logger) for kind in (WandbMediaLogger, MLflowMediaLogger, CometMediaLogger))
    return next((gallery for gallery in galleries if gallery is not None), None)

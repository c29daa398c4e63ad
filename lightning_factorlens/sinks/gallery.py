"""Loggers other than TensorBoard that can show a picture: each has its own way, chosen by what the logger can do."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from lightning_factorlens.sinks.comet import CometGallery
from lightning_factorlens.sinks.mlflow import MLflowGallery
from lightning_factorlens.sinks.wandb import WandbGallery


class Gallery(Protocol):
    """A logger's own way with pictures and words."""

    def show(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """One picture, uint8, shape (height, width, 3), at a step."""

    def say(self, tag: str, words: str, step: int) -> None:
        """A text in Markdown at a step."""


def gallery_of(logger: Any) -> Gallery | None:
    """The way of this logger; None for one that takes scalars alone, as Lightning's CSVLogger."""
    galleries = (kind.of(logger) for kind in (WandbGallery, MLflowGallery, CometGallery))
    return next((gallery for gallery in galleries if gallery is not None), None)

"""The interface to what loggers show besides scalars: images, texts, histograms, a layout, an embedding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from torch import Tensor

from lightning_factorlens.loggers.layout import Layout
from lightning_factorlens.results import Observation


class MediaLogger(ABC):
    """Writes images and texts through a logger that the user made; content that the logger cannot show is ignored.

    Subclasses have a class method ``wrap(logger)`` that returns None for a logger of another kind; `get_media_logger`
    recognises loggers by their methods.

    Attributes:
        writes_from_any_thread: Whether `log_image` may be called beside the training thread. Where it may not, figures
            are drawn there, and their pixels are written by the training thread.
    """

    writes_from_any_thread: ClassVar[bool] = False

    @abstractmethod
    def log_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Writes one image.

        Args:
            tag: Its name.
            pixels: uint8, shape (height, width, 4), the opacity last.
            step: Position on the x axis.
        """

    @abstractmethod
    def log_text(self, tag: str, text: str, step: int) -> None:
        """Writes a text.

        Args:
            tag: Its name.
            text: The text, in Markdown.
            step: Position on the x axis.
        """

    def log_guide(self, tag: str, text: str) -> None:
        """Writes a text that is the same for many runs; a logger that shows runs side by side writes it once.

        Args:
            tag: Its name.
            text: The text, in Markdown.
        """
        self.log_text(tag, text, 0)

    def log_histogram(self, tag: str, values: Tensor, step: int) -> None:  # noqa: B027
        """Writes the distribution of some values.

        Args:
            tag: Its name.
            values: Shape (n,), n ≥ 1.
            step: Position on the x axis.
        """

    def log_layout(self, layout: Layout) -> None:  # noqa: B027
        """Arranges scalars in charts."""

    def log_embedding(self, tag: str, observation: Observation) -> None:  # noqa: B027
        """Shows the probe's samples as points, placed by their loads on the components."""

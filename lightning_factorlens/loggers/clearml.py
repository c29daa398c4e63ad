"""Images and texts in ClearML, through a logger whose experiment is a task of ClearML.

With Lightning's TensorBoardLogger after ``Task.init()`` ClearML takes over what TensorBoard gets, images included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lightning_factorlens.loggers.base import comes_from, has_methods, logger_prefix
from lightning_factorlens.loggers.media import MediaLogger


class ClearMLMediaLogger(MediaLogger):
    """Writes through ClearML's own logger.

    Args:
        reporter: The ``clearml.Logger``, of a task online or offline.
        tag_prefix: Text that the Lightning logger puts before every tag.
    """

    def __init__(self, reporter: Any, tag_prefix: str = "") -> None:
        self.reporter = reporter
        self.tag_prefix = tag_prefix

    @classmethod
    def wrap(cls, logger: Any) -> ClearMLMediaLogger | None:
        """Wraps a logger whose experiment is a task or a logger of ClearML; returns None for any other."""
        experiment: Any = getattr(logger, "experiment", None)
        if not comes_from("clearml", experiment):
            return None
        if has_methods(experiment, "get_logger"):
            experiment = experiment.get_logger()
        if not has_methods(experiment, "report_image", "report_text"):
            return None
        return cls(experiment, logger_prefix(logger))

    def log_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Writes one image, on white: by default ClearML stores JPEG files, which have no opacity."""
        title, _, series = (self.tag_prefix + tag).rpartition("/")
        opacity = pixels[..., 3:].astype(np.float32) / 255
        image = np.rint(pixels[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)
        self.reporter.report_image(title or series, series, iteration=step, image=image)

    def log_text(self, tag: str, text: str, step: int) -> None:
        """Writes a text to the task's console, which is the place that ClearML has for texts."""
        self.reporter.report_text(f"{self.tag_prefix}{tag}, step {step}\n{text}", print_console=False)

"""Images and texts in MLflow, as artifacts of the run that the user's MLFlowLogger writes."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from lightning_factorlens._private_api.loggers import logger_name_prefix
from lightning_factorlens.loggers.base import has_methods
from lightning_factorlens.loggers.media import MediaLogger


class MLflowMediaLogger(MediaLogger):
    """Writes through an MLflow client, whose methods take the run as an argument.

    Args:
        client: The logger's ``MlflowClient``.
        run_id: The run.
        tag_prefix: Text that the logger puts before every tag.
    """

    def __init__(self, client: Any, run_id: str, tag_prefix: str = "") -> None:
        self.client = client
        self.run_id = run_id
        self.tag_prefix = tag_prefix
        # With a key and a step MLflow shows images over steps, as TensorBoard does; before 2.14 it stores plain files.
        self._has_steps = {"key", "step"} <= set(inspect.signature(client.log_image).parameters)

    @classmethod
    def wrap(cls, logger: Any) -> MLflowMediaLogger | None:
        """Wraps a logger whose experiment is such a client; returns None for any other."""
        client = getattr(logger, "experiment", None)
        run_id = getattr(logger, "run_id", None)
        if not has_methods(client, "log_batch", "log_image", "log_text") or not isinstance(run_id, str):
            return None
        prefix = logger_name_prefix(logger)
        return cls(client, run_id, f"{prefix}-" if prefix else "")

    def log_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Writes one image."""
        if self._has_steps:
            self.client.log_image(self.run_id, pixels, key=self.tag_prefix + tag, step=step)
        else:
            self.client.log_image(self.run_id, pixels, f"{self.tag_prefix}{tag}/step_{step:07d}.png")

    def log_text(self, tag: str, text: str, step: int) -> None:
        """Writes one file for each text; a later one with the same tag replaces it."""
        self.client.log_text(self.run_id, text, f"{self.tag_prefix}{tag}.md")

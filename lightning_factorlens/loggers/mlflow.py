"""Pictures and text into MLflow, as artifacts of the run that the user's MLFlowLogger writes."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from lightning_factorlens._private_api import logger_name_prefix
from lightning_factorlens.loggers.base import has_methods
from lightning_factorlens.loggers.media import MediaLogger


class MLflowMediaLogger(MediaLogger):
    """MLflow's client takes pictures and texts of a run, which it must be told.

    Args:
        client: The logger's ``MlflowClient``.
        run_id: The run.
        tag_prefix: What the logger puts before every tag.
    """

    def __init__(self, client: Any, run_id: str, tag_prefix: str = "") -> None:
        self.client, self.run_id, self.tag_prefix = client, run_id, tag_prefix
        # With a key and a step MLflow shows a picture over the steps, as TensorBoard does; older ones keep plain files.
        self._by_step = {"key", "step"} <= set(inspect.signature(client.log_image).parameters)

    @classmethod
    def wrap(cls, logger: Any) -> MLflowMediaLogger | None:
        """For a logger whose experiment is such a client; None for any other."""
        client = getattr(logger, "experiment", None)
        if not has_methods(client, "log_batch", "log_image", "log_text"):
            return None
        run_id, prefix = getattr(logger, "run_id", None), logger_name_prefix(logger)
        return cls(client, run_id, f"{prefix}-" if prefix else "") if isinstance(run_id, str) else None

    def log_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """One picture at a step."""
        if self._by_step:
            self.client.log_image(self.run_id, pixels, key=self.tag_prefix + tag, step=step)
        else:
            self.client.log_image(self.run_id, pixels, f"{self.tag_prefix}{tag}/step_{step:07d}.png")

    def log_text(self, tag: str, text: str, step: int) -> None:
        """One file a text; a later one of the same tag replaces it."""
        self.client.log_text(self.run_id, text, f"{self.tag_prefix}{tag}.md")

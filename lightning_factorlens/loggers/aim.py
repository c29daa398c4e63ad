"""Images and texts in Aim, through the run that the user's AimLogger writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightning_factorlens.loggers.base import comes_from, has_methods
from lightning_factorlens.loggers.media import MediaLogger


class AimMediaLogger(MediaLogger):
    """Writes through Aim's ``Run.track``, under the names and contexts that the AimLogger gives its scalars.

    Args:
        logger: The AimLogger, whose ``parse_context`` turns beginnings and ends of names into a context.
    """

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    @classmethod
    def wrap(cls, logger: Any) -> AimMediaLogger | None:
        """Wraps a logger whose experiment is a run of Aim; returns None for any other."""
        run = getattr(logger, "experiment", None)
        if not comes_from("aim", run) or not has_methods(run, "track") or not has_methods(logger, "parse_context"):
            return None
        return cls(logger)

    def log_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Writes one image."""
        from aim import Image
        from PIL import Image as Picture

        self._track(Image(Picture.fromarray(pixels), format="png"), tag, step)

    def log_text(self, tag: str, text: str, step: int) -> None:
        """Writes one text."""
        from aim import Text

        self._track(Text(text), tag, step)

    def _track(self, value: Any, tag: str, step: int) -> None:
        name, context = self.logger.parse_context(tag)
        self.logger.experiment.track(value, name=name, step=step, context=context)

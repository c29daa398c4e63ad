"""Which loggers can show more than scalars; a new kind of logger adds its class here."""

from __future__ import annotations

from typing import Any

from lightning_factorlens.loggers.aim import AimMediaLogger
from lightning_factorlens.loggers.clearml import ClearMLMediaLogger
from lightning_factorlens.loggers.comet import CometMediaLogger
from lightning_factorlens.loggers.image_logger import ImageMediaLogger
from lightning_factorlens.loggers.litlogger import LitMediaLogger
from lightning_factorlens.loggers.media import MediaLogger
from lightning_factorlens.loggers.mlflow import MLflowMediaLogger
from lightning_factorlens.loggers.tensorboard import TensorBoardMediaLogger
from lightning_factorlens.loggers.wandb import WandbMediaLogger

#: Tried in this order; the last one takes any logger with Lightning's ``log_image``.
MEDIA_LOGGERS = (
    TensorBoardMediaLogger,
    WandbMediaLogger,
    MLflowMediaLogger,
    CometMediaLogger,
    AimMediaLogger,
    LitMediaLogger,
    ClearMLMediaLogger,
    ImageMediaLogger,
)


def get_media_logger(logger: Any) -> MediaLogger | None:
    """Finds the class that writes images and texts through one of Lightning's loggers.

    Args:
        logger: Any logger.

    Returns:
        An object of that class; None for a logger that takes scalars alone, such as CSVLogger.

    Example:
        >>> get_media_logger(object()) is None
        True
    """
    for kind in MEDIA_LOGGERS:
        media: MediaLogger | None = kind.wrap(logger)
        if media is not None:
            return media
    return None

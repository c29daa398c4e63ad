"""Which loggers can show more than scalars; a new kind of logger adds its class here."""

from __future__ import annotations

from typing import Any

from lightning_factorlens.loggers.comet import CometMediaLogger
from lightning_factorlens.loggers.media import MediaLogger
from lightning_factorlens.loggers.mlflow import MLflowMediaLogger
from lightning_factorlens.loggers.tensorboard import TensorBoardMediaLogger
from lightning_factorlens.loggers.wandb import WandbMediaLogger

#: Tried in this order.
MEDIA_LOGGERS = (TensorBoardMediaLogger, WandbMediaLogger, MLflowMediaLogger, CometMediaLogger)


def get_media_logger(logger: Any) -> MediaLogger | None:
    """What one of Lightning's loggers shows besides scalars; None for one that takes scalars alone, as CSVLogger."""
    for kind in MEDIA_LOGGERS:
        media: MediaLogger | None = kind.wrap(logger)
        if media is not None:
            return media
    return None

"""Trainers that the lens cannot work with, and those with which it would never look."""

from __future__ import annotations

import math

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

#: Strategies whose forward pass is a collective, or whose weights lie in pieces.
SHARDED = ("FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy", "XLAFSDPStrategy")


def check_supported(trainer: Trainer) -> None:
    """Foreign Trainers and sharded models.

    Raises:
        MisconfigurationException: With what to do instead.
    """
    if type(trainer).__module__.startswith("pytorch_lightning"):
        raise MisconfigurationException(
            "FactorLensCallback belongs to `lightning.pytorch`, this Trainer to `pytorch_lightning`: they are two "
            "import trees that do not mix. Import Trainer and callbacks from `lightning.pytorch`."
        )
    if any(kind.__name__ in SHARDED for kind in type(trainer.strategy).__mro__):
        raise MisconfigurationException(
            f"FactorLensCallback does not support {type(trainer.strategy).__name__} yet: the model's weights lie in "
            "pieces. Use DDP or a single device, or observe a checkpoint with FactorLens."
        )


def warn_infinite_epochs(trainer: Trainer) -> None:
    """Looks at the ends of epochs need epochs that end."""
    if (trainer.max_epochs or 0) < 0 and math.isinf(trainer.num_training_batches):
        rank_zero_warn(
            "FactorLensCallback looks when an epoch ends, but max_epochs=-1 and the training loader has no length. "
            "If it never ends, there is one look before training and one after; pass every_n_train_steps=500, say."
        )

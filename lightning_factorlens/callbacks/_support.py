"""Detects Trainers that the callback cannot work with, or with which it would never measure."""

from __future__ import annotations

import math

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

#: Strategies under which every forward pass is a collective operation, or the weights are sharded.
SHARDED_STRATEGIES = ("FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy", "XLAFSDPStrategy")


def check_supported(trainer: Trainer) -> None:
    """Checks that the Trainer comes from ``lightning.pytorch`` and does not shard the model.

    Raises:
        MisconfigurationException: The Trainer is not supported; the message contains an alternative.
    """
    if type(trainer).__module__.startswith("pytorch_lightning"):
        raise MisconfigurationException(
            "FactorLensCallback belongs to `lightning.pytorch`, this Trainer to `pytorch_lightning`: they are two "
            "import trees whose objects cannot be combined. Import Trainer and callbacks from `lightning.pytorch`."
        )
    strategy_class = type(trainer.strategy)
    if any(base.__name__ in SHARDED_STRATEGIES for base in strategy_class.__mro__):
        raise MisconfigurationException(
            f"FactorLensCallback does not support {strategy_class.__name__} yet: the model's weights are sharded. "
            "Use DDP or a single device, or measure a checkpoint with FactorLens."
        )


def warn_infinite_epochs(trainer: Trainer) -> None:
    """Warns if an epoch may never end, since measurements at the end of epochs would then never be made."""
    if (trainer.max_epochs or 0) < 0 and math.isinf(trainer.num_training_batches):
        rank_zero_warn(
            "FactorLensCallback measures at the end of every epoch, but max_epochs=-1 and the training loader has no "
            "length. If the epoch never ends, there is one measurement before training and one after; pass for example "
            "every_n_train_steps=500."
        )

"""Detects Trainers that the callback cannot work with, or with which it would never measure."""

from __future__ import annotations

import math

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

#: Strategies of torch_xla, on which nothing has been run.
UNTESTED_STRATEGIES = ("XLAStrategy", "XLAFSDPStrategy", "SingleDeviceXLAStrategy")


def check_supported(trainer: Trainer) -> None:
    """Checks that the Trainer comes from ``lightning.pytorch`` and that its strategy has been tried.

    Whether a sharded model can be observed is checked when its parameters are there, see `sharding_problem`.

    Raises:
        MisconfigurationException: The Trainer is not supported; the message contains an alternative.
    """
    if type(trainer).__module__.startswith("pytorch_lightning"):
        raise MisconfigurationException(
            "FactorLensCallback belongs to `lightning.pytorch`, this Trainer to `pytorch_lightning`: they are two "
            "import trees whose objects cannot be combined. Import Trainer and callbacks from `lightning.pytorch`."
        )
    strategy_class = type(trainer.strategy)
    if any(base.__name__ in UNTESTED_STRATEGIES for base in strategy_class.__mro__):
        raise MisconfigurationException(
            f"FactorLensCallback does not support {strategy_class.__name__}: it has not been tried on XLA devices, and "
            "may change the training there. Train on CPUs or GPUs, or observe a checkpoint with FactorLens."
        )


def warn_infinite_epochs(trainer: Trainer) -> None:
    """Warns if an epoch may never end, since measurements at the end of epochs would then never be made."""
    if (trainer.max_epochs or 0) < 0 and math.isinf(trainer.num_training_batches):
        rank_zero_warn(
            "FactorLensCallback measures at the end of every epoch, but max_epochs=-1 and the training loader has no "
            "length. If the epoch never ends, there is one measurement before training and one after; pass for example "
            "every_n_train_steps=500."
        )

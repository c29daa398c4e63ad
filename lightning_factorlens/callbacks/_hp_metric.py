"""Whether the user's code logs ``hp_metric``, for which Lightning's table of hyperparameters has a column."""

from __future__ import annotations

from inspect import unwrap
from types import CodeType, FunctionType
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from lightning_factorlens.loggers.hparams import HP_METRIC

#: Packages whose classes never log it by themselves.
LIBRARIES = ("lightning", "pytorch_lightning", "torch", "lightning_factorlens")


def may_log_hp_metric(trainer: Trainer, pl_module: LightningModule) -> bool:
    """Whether the code of the module, the datamodule or a callback of the user's mentions ``hp_metric``.

    The table of hyperparameters is written before training, when nothing has been logged yet. A name that is put
    together while the code runs is not found.

    Args:
        trainer: The Trainer.
        pl_module: The module.
    """
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    owners = [pl_module, datamodule, *trainer.callbacks]  # type: ignore[attr-defined]
    return any(_mentions(owner) for owner in owners)


def _mentions(owner: Any) -> bool:
    """Whether the functions of an object's class, or of its base classes outside of libraries, have the text."""
    for kind in type(owner).__mro__:
        if kind.__module__.split(".")[0] in LIBRARIES:
            continue
        for attribute in vars(kind).values():
            function = attribute.__func__ if isinstance(attribute, (classmethod, staticmethod)) else attribute
            if isinstance(function, FunctionType) and _has_constant(unwrap(function).__code__):
                return True
    return False


def _has_constant(code: CodeType) -> bool:
    """Whether a function's constants, or those of the functions in it, contain the text."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and _has_constant(constant):
            return True
        if isinstance(constant, str) and HP_METRIC in constant:
            return True
        if isinstance(constant, (tuple, frozenset)) and HP_METRIC in constant:
            return True
    return False

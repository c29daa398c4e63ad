"""Freeing what a forward pass of a sharded model leaves gathered."""

from __future__ import annotations

from typing import Any

from torch import nn

from lightning_factorlens._private_api import reshard_fsdp


def reshard(model: nn.Module) -> None:
    """Brings every unit of FSDP into the state in which each process holds its part of the parameters only.

    After a forward pass the outermost unit stays gathered. Its modules then hold other parameters than those that the
    optimizer has, and a copy of the model's state that is restored would not agree with what FSDP notes about it.

    Args:
        model: Any module; one without FSDP is not changed.

    Example:
        >>> reshard(nn.Linear(3, 2))
    """
    for module in model.modules():
        unit: Any = module
        bases = {kind.__name__ for kind in type(module).__mro__}
        if "FSDPModule" in bases:
            unit.reshard()
        elif "FullyShardedDataParallel" in bases:
            reshard_fsdp(unit)

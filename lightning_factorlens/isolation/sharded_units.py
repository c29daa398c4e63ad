"""What a forward pass of a sharded model changes besides the state that is restored."""

from __future__ import annotations

from typing import Any

from torch import nn

from lightning_factorlens._private_api.sharded_modules import reshard_fsdp

#: The attribute of a module in which DeepSpeed keeps parameters of other modules that its ``forward`` reads.
NOTES = "_external_params"


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


def used_elsewhere(model: nn.Module) -> dict[nn.Module, Any]:
    """What DeepSpeed's ZeRO-3 has found out about parameters that another module's ``forward`` reads.

    It notes them when they are read for the first time, and expects them in every later pass. To take the notes away
    with the rest of a restored state would contradict the order of parameters that it has recorded.

    Args:
        model: Any module.

    Returns:
        The notes of every module that has some.

    Example:
        >>> used_elsewhere(nn.Linear(3, 2))
        {}
    """
    return {module: dict(vars(module)[NOTES]) for module in model.modules() if vars(module).get(NOTES)}


def note_again(notes: dict[nn.Module, Any]) -> None:
    """Gives modules their notes back.

    Args:
        notes: From `used_elsewhere`.

    Example:
        >>> note_again({})
    """
    for module, parameters in notes.items():
        vars(module)[NOTES].update(parameters)

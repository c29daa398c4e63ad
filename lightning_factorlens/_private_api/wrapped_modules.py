"""Modules inside wrappers of FSDP, activation checkpointing and Lightning Fabric."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

#: Attributes under which FSDP and activation checkpointing keep the module that they wrap.
WRAPPED_MODULES = ("_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def is_wrapper(module: nn.Module) -> bool:
    """Whether a module is only the wrapper of FSDP or of activation checkpointing around another one."""
    return any(name in module._modules for name in WRAPPED_MODULES)


def unwrapped_module(module: nn.Module) -> nn.Module:
    """The module itself, or the innermost one inside wrappers of FSDP and of activation checkpointing."""
    for name in WRAPPED_MODULES:
        if name in module._modules:
            inner = module._modules[name]
            assert inner is not None
            return unwrapped_module(inner)
    return module


def unwrapped_path(path: str) -> str:
    """The path of a module or parameter without the levels that FSDP and activation checkpointing insert.

    Example:
        >>> unwrapped_path("_fsdp_wrapped_module.layer1._checkpoint_wrapped_module.0.weight")
        'layer1.0.weight'
    """
    return ".".join(level for level in path.split(".") if level not in WRAPPED_MODULES)


class FabricModule(NamedTuple):
    """The parts of what ``Fabric.setup`` returns for a module.

    Attributes:
        forward_module: The module as the strategy has wrapped it.
        original_module: The module that was passed to ``Fabric.setup``.
        precision: Fabric's plugin for the precision, with its methods ``convert_input``, ``forward_context`` and
            ``convert_output``.
    """

    forward_module: nn.Module
    original_module: nn.Module
    precision: Any


def fabric_module(module: Any) -> FabricModule | None:
    """The parts of a module that comes from ``Fabric.setup``; None for any other, or where they are not found."""
    parts = module._modules
    precision = getattr(module.__dict__.get("_strategy"), "precision", None)
    if "_forward_module" not in parts or "_original_module" not in parts or precision is None:
        return None
    return FabricModule(parts["_forward_module"], parts["_original_module"], precision)

"""Modules that ``torch.compile`` has wrapped or compiled."""

from __future__ import annotations

import torch
from torch import nn


def uncompiled_path(path: str) -> str:
    """The path of a module without the levels that ``torch.compile`` and ``Fabric.setup`` insert.

    Such a module below the root keeps a dot at the end, which distinguishes it from its wrapper.

    Example:
        >>> [uncompiled_path(path) for path in ("_orig_mod.layer1._orig_mod.0", "_orig_mod", "layer1._orig_mod")]
        ['layer1.0', '', 'layer1.']
        >>> uncompiled_path("_forward_module._orig_mod.layer1")
        'layer1'
    """
    for level in ("_orig_mod", "_forward_module"):
        path = path.replace(f"{level}.", "").removesuffix(level)
    return path


def compiled_module(module: nn.Module) -> nn.Module | None:
    """The module inside of what ``torch.compile`` returns for it; None for any other."""
    return module._modules.get("_orig_mod")


def is_compiled(module: nn.Module) -> bool:
    """Whether the calls of a module run compiled or scripted code, in which hooks have no place."""
    is_wrapped = "_orig_mod" in module._modules
    is_compiled_in_place = module._compiled_call_impl is not None
    return is_wrapped or is_compiled_in_place or isinstance(module, torch.jit.ScriptModule)


def has_compiled_code() -> bool:
    """Whether ``torch.compile`` has compiled any function or module in this process."""
    from torch._dynamo.utils import counters

    return counters["frames"]["total"] > 0

"""What modules have registered: parameters, buffers, attributes of scripted ones, and hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

#: Base class of all convolutions and transposed convolutions of torch, lazy ones included.
ConvolutionBase: type[_ConvNd] = _ConvNd


def own_parameters(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """The parameters that a module itself has registered, by name: its own dictionary."""
    return module._parameters


def registered_buffers(module: nn.Module) -> dict[str, Tensor | None]:
    """The buffers that a module itself has registered, by name.

    Returns:
        The module's own dictionary: writing to it replaces a buffer, without the checks of ``setattr``.
    """
    return module._buffers


def script_attributes(module: nn.Module) -> list[str]:
    """Names of the parameters, buffers and plain attributes of a ``ScriptModule``; none for other modules."""
    if not isinstance(module, torch.jit.ScriptModule):
        return []
    names = [name for name, _ in module.named_parameters(recurse=False)]
    names += [name for name, _ in module.named_buffers(recurse=False)]
    concrete_type = module.__dict__.get("_concrete_type")
    if concrete_type is not None:
        names += concrete_type.get_attributes()
    return list(dict.fromkeys(names))


def has_forward_hooks(module: nn.Module) -> bool:
    """Whether somebody has registered hooks that run before or after the forward of this module."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def global_forward_hooks() -> list[Callable[..., Any]]:
    """The hooks that run before or after the forward of every module."""
    hooks = torch.nn.modules.module
    return [*hooks._global_forward_hooks.values(), *hooks._global_forward_pre_hooks.values()]


def remove_global_hooks(handles: Iterable[Any]) -> None:
    """Removes hooks of all modules.

    ``RemovableHandle.remove`` leaves the mark of a hook with keywords behind, for which `torch.compile` warns of global
    hooks for the rest of the process.
    """
    for handle in handles:
        handle.remove()
        torch.nn.modules.module._global_forward_hooks_with_kwargs.pop(handle.id, None)

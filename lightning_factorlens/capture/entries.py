"""Submodules whose call gives what the call of the whole model gives."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from lightning_factorlens._private_api.modules import remove_global_hooks


class EntryFinder:
    """Finds submodules that receive the model's inputs and return its output, such as the ``net`` of a module.

    Args:
        model: The model; its forward passes inside the context are followed.

    Example:
        >>> import torch
        >>> class Module(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.net = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        ...     def forward(self, x):
        ...         return self.net(x)
        >>> model = Module()
        >>> with EntryFinder(model) as finder:
        ...     _ = model(torch.rand(4, 3))
        >>> finder.entries == [model.net]
        True

    Attributes:
        entries: The submodules for which that was so in every pass.
    """

    def __init__(self, model: nn.Module) -> None:
        self.entries: list[nn.Module] = []
        self._model = model
        self._inputs: Any = None
        self._outputs: dict[nn.Module, Any] = {}
        self._is_first = True
        self._handles: list[Any] = []

    def __enter__(self) -> EntryFinder:
        self._handles = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after, with_kwargs=True),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        remove_global_hooks(self._handles)

    def _before(self, module: nn.Module, args: Any) -> None:
        if module is self._model:
            self._inputs = args[0] if len(args) == 1 else None
            self._outputs = {}

    def _after(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if module is self._model:
            found = [inner for inner, returned in self._outputs.items() if returned is output]
            self.entries = [inner for inner in found if self._is_first or inner in self.entries]
            self._is_first = False
            self._inputs = None
            self._outputs = {}
        elif self._inputs is not None and len(args) == 1 and args[0] is self._inputs and not kwargs:
            self._outputs[module] = output

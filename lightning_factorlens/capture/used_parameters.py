"""Which parameters the forward pass of a model computes with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lightning_factorlens._private_api.modules import own_parameters
from lightning_factorlens._private_api.wrapped_modules import unwrapped_path
from lightning_factorlens.capture.module_names import named_layers
from lightning_factorlens.capture.sharded_parameters import sharded_parameters


class UsedParameters:
    """The names of the parameters that forward passes have passed to functions of torch.

    A parameter counts as used when a function that returns tensors has received it, by itself or in a list:
    ``F.linear(x, self.projection.weight)`` and the flat weights of an LSTM as well as an ordinary call of a module.

    Example:
        >>> import torch
        >>> model = nn.ModuleDict({"generator": nn.Linear(3, 3), "discriminator": nn.Linear(3, 1)})
        >>> used = UsedParameters()
        >>> with used.record(model):
        ...     _ = model["generator"](torch.rand(2, 3))
        >>> used.includes("generator.weight"), used.includes("discriminator.weight")
        (True, False)

    Attributes:
        names: Names of the used parameters, those of tied parameters all included.
        known: Names of all parameters that the model had while a forward pass was recorded.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.known: set[str] = set()

    @contextmanager
    def record(self, model: nn.Module) -> Iterator[None]:
        """Adds the parameters that are used while the context is open.

        Args:
            model: The model whose parameters count.

        Yields:
            Nothing.
        """
        names = _Names()
        for name, parameter in model.named_parameters(remove_duplicate=False):
            names.add(unwrapped_path(name), parameter)
        mode = _ParameterRecorder(names)
        with names.followed(model) if sharded_parameters(model) else nullcontext(), mode:
            yield
        self.known.update(names.known)
        for key in mode.used:
            self.names.update(names.by_id[key])

    def includes(self, name: str) -> bool:
        """Whether a parameter is used; True also for one that did not exist when a forward pass was recorded.

        Args:
            name: Name of the parameter, as ``named_parameters()`` gives it.

        Returns:
            False for a parameter that no recorded forward pass has used.
        """
        return name in self.names or name not in self.known


class _Names:
    """The names of the tensors with which a forward pass computes.

    Attributes:
        by_id: Id of the tensor → its names.
        known: All names.
    """

    def __init__(self) -> None:
        self.by_id: dict[int, list[str]] = {}
        self.known: set[str] = set()
        self._tensors: list[Tensor] = []  # keeps them alive, so that no other tensor gets the id of one of them

    def add(self, name: str, tensor: Tensor) -> None:
        """Adds a name of a tensor."""
        names = self.by_id.setdefault(id(tensor), [])
        if not names:
            self._tensors.append(tensor)
        if name not in names:
            names.append(name)
        self.known.add(name)

    @contextmanager
    def followed(self, model: nn.Module) -> Iterator[None]:
        """Inside, the tensors are added that FSDP puts in the place of parameters while it runs a module."""
        handles = []
        for path, module in named_layers(model):
            handles.append(module.register_forward_pre_hook(partial(self._add_all, path)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _add_all(self, path: str, module: nn.Module, _: Any) -> None:
        """Adds the parameters of a module and of its submodules, and tensors that replace them as plain attributes."""
        for inner_path, inner in named_layers(module):
            for name, value in [*own_parameters(inner).items(), *vars(inner).items()]:
                if isinstance(value, Tensor):
                    self.add(".".join(filter(None, (path, inner_path, name))), value)


class _ParameterRecorder(TorchFunctionMode):
    """Collects the ids of the tensors with names among the arguments of functions."""

    def __init__(self, names: _Names) -> None:
        super().__init__()
        self.names = names
        self.used: set[int] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        output = func(*args, **options)
        if _holds_tensor(output):  # not the reading of a shape, a dtype or a device
            self._collect(args)
            self._collect(tuple(options.values()))
        return output

    def _collect(self, arguments: Any) -> None:
        for argument in arguments:
            if isinstance(argument, Tensor):
                if id(argument) in self.names.by_id:
                    self.used.add(id(argument))
            elif isinstance(argument, (tuple, list)):
                self._collect(argument)


def _holds_tensor(output: Any) -> bool:
    if isinstance(output, (tuple, list)):
        return any(map(_holds_tensor, output))
    return isinstance(output, Tensor)

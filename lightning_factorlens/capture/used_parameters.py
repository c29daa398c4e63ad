"""Which parameters the forward pass of a model computes with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


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
        names: dict[int, list[str]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            names.setdefault(id(parameter), []).append(name)
            self.known.add(name)
        mode = _ParameterRecorder(set(names))
        with mode:
            yield
        for key in mode.used:
            self.names.update(names[key])

    def includes(self, name: str) -> bool:
        """Whether a parameter is used; True also for one that did not exist when a forward pass was recorded.

        Args:
            name: Name of the parameter, as ``named_parameters()`` gives it.

        Returns:
            False for a parameter that no recorded forward pass has used.
        """
        return name in self.names or name not in self.known


class _ParameterRecorder(TorchFunctionMode):
    """Collects the ids of the parameters among the arguments of functions."""

    def __init__(self, parameters: set[int]) -> None:
        super().__init__()
        self.parameters = parameters
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
            if isinstance(argument, nn.Parameter):
                if id(argument) in self.parameters:
                    self.used.add(id(argument))
            elif isinstance(argument, (tuple, list)):
                self._collect(argument)


def _holds_tensor(output: Any) -> bool:
    if isinstance(output, (tuple, list)):
        return any(map(_holds_tensor, output))
    return isinstance(output, Tensor)

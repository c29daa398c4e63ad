"""Gathering the parameters of a sharded model, one layer or one unit of FSDP at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn

from lightning_factorlens._private_api.modules import own_parameters
from lightning_factorlens._private_api.wrapped_modules import is_wrapper, unwrapped_path
from lightning_factorlens.capture.sharded_parameters import is_dtensor, is_fsdp1


class WholeParameters:
    """Makes the parameters of a sharded model whole, for one layer after the other.

    All processes must do this together. Memory holds the whole parameters of one layer, or of one unit of FSDP1.

    Args:
        model: A model whose parameters may be divided by ``fully_shard``, FSDP1 or DeepSpeed's ZeRO-3.
        reads_children: Whether the weight of a layer is computed from the parameters of its submodules, too.

    Example:
        >>> for path, layer in WholeParameters(nn.Sequential(nn.Linear(3, 2)), lambda layer: False).layers():
        ...     print(repr(path), type(layer).__name__)
        '' Sequential
        '0' Linear
    """

    def __init__(self, model: nn.Module, reads_children: Callable[[nn.Module], bool]) -> None:
        self.model = model
        self.reads_children = reads_children
        # One object for each parameter, however often it is gathered: identity tells which layers share a weight.
        self._whole: dict[int, nn.Parameter] = {}

    def layers(self) -> Iterator[tuple[str, nn.Module]]:
        """Yields the layers as `named_layers` does; while one is at hand its parameters are whole."""
        units: dict[str, nn.Module] = {}
        current: nn.Module | None = None
        with ExitStack() as stack:
            for path, module in self.model.named_modules():
                if is_fsdp1(module):
                    units[path] = module
                if is_wrapper(module):
                    continue
                unit = _innermost(units, path) or module
                if unit is not current:
                    stack.close()
                    stack.enter_context(self._gathered(unit))
                    current = unit
                yield unwrapped_path(path), module

    def _gathered(self, unit: nn.Module) -> AbstractContextManager[Any]:
        """The context in which the parameters of a layer, or of a unit of FSDP1, are whole."""
        if is_fsdp1(unit):
            from torch.distributed.fsdp import FullyShardedDataParallel

            return FullyShardedDataParallel.summon_full_params(unit, recurse=False, writeback=False)
        modules = list(unit.modules()) if self.reads_children(unit) else [unit]
        partitioned = []
        for module in modules:
            partitioned += [p for p in module.parameters(recurse=False) if hasattr(p, "ds_id")]
        if partitioned:
            from deepspeed.runtime.zero import GatheredParameters

            context: AbstractContextManager[Any] = GatheredParameters(partitioned)
            return context
        return self._without_dtensors(modules) if _has_dtensors(modules) else nullcontext()

    @contextmanager
    def _without_dtensors(self, modules: list[nn.Module]) -> Iterator[None]:
        """Replaces the parameters of some modules by whole ones."""
        replaced: list[tuple[dict[str, nn.Parameter | None], str, nn.Parameter]] = []
        try:
            for module in modules:
                registry = own_parameters(module)
                for name, parameter in list(registry.items()):
                    if parameter is not None and is_dtensor(parameter):
                        replaced.append((registry, name, parameter))
                        registry[name] = self._full(parameter)
            yield
        finally:
            for registry, name, parameter in replaced:
                registry[name] = parameter
                whole = self._whole.get(id(parameter))
                if whole is not None:
                    whole.data = whole.data.new_empty(0)

    def _full(self, parameter: Any) -> nn.Parameter:
        """The whole parameter; all processes communicate."""
        values: Tensor = parameter.full_tensor().detach()
        whole = self._whole.get(id(parameter))
        if whole is None:
            whole = nn.Parameter(values, requires_grad=parameter.requires_grad)
            self._whole[id(parameter)] = whole
        whole.data = values
        return whole


def _has_dtensors(modules: list[nn.Module]) -> bool:
    return any(is_dtensor(p) for module in modules for p in module.parameters(recurse=False))


def _innermost(units: dict[str, nn.Module], path: str) -> nn.Module | None:
    """The innermost of the FSDP1 units around the module of a path; None where there is none."""
    found = None
    for unit_path, unit in units.items():  # outer units come first
        if not unit_path or path == unit_path or path.startswith(f"{unit_path}."):
            found = unit
    return found

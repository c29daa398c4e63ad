"""Which parameters of a model are divided between processes, and by what."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from torch import Tensor, nn

from lightning_factorlens._private_api.sharded_modules import fsdp2_parameters
from lightning_factorlens._private_api.wrapped_modules import unwrapped_path


def sharded_parameters(model: nn.Module) -> list[str]:
    """Names of the parameters that are divided between several processes (FSDP, DTensor, DeepSpeed).

    No single process has their values; a forward pass is a collective operation, and so is reading them.

    Args:
        model: Any module.

    Returns:
        The names without those of wrappers, in the order of ``named_parameters()``; empty for a model whose parameters
        are whole.

    Example:
        >>> sharded_parameters(nn.Linear(3, 2))
        []
    """
    is_wrapped = any(is_fsdp1(module) for module in model.modules())
    names: list[str] = []
    for name, parameter in model.named_parameters():
        if is_wrapped or is_dtensor(parameter) or hasattr(parameter, "ds_id"):
            names.append(unwrapped_path(name))
    return names


def tensor_parallel_axes(model: nn.Module) -> dict[str, str]:
    """The parameters that are split by tensor parallelism, or by another scheme that divides layers between processes.

    FSDP gathers a layer's parameters before it runs, so that every process computes its whole output. On any other
    mesh axis a layer stays split, and its output may be a part of the layer's neurons, another one in each process.

    Args:
        model: Any module.

    Returns:
        Name of the parameter → name of the first mesh axis that does not belong to FSDP, or its position; empty where
        there is none.

    Example:
        >>> tensor_parallel_axes(nn.Linear(3, 2))
        {}
    """
    divided: dict[tuple[nn.Module, str], Tensor] = {}
    for module in model.modules():
        if _is_fsdp2(module):
            divided.update(fsdp2_parameters(module))
    axes: dict[str, str] = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            known = divided.get((module, name))  # None also for one that `fully_shard` was told to ignore
            axis = _axis(parameter, 0) if known is None else _axis(known, _n_fsdp_axes(known))
            if axis:
                axes[unwrapped_path(f"{path}.{name}" if path else name)] = axis
    return axes


def sharing_processes(model: nn.Module) -> set[int]:
    """The processes between which the parameters of a model are divided by ``fully_shard`` or FSDP1.

    Args:
        model: Any module.

    Returns:
        Their ranks in the default group of torch.distributed; empty where nothing is divided, or by DeepSpeed.

    Example:
        >>> sharing_processes(nn.Linear(3, 2))
        set()
    """
    ranks: set[int] = set()
    for module in model.modules():
        unit: Any = module
        if is_fsdp1(module):
            ranks.update(dist.get_process_group_ranks(unit.process_group))
        for parameter in module.parameters(recurse=False):
            if is_dtensor(parameter):
                mesh: Any = parameter
                ranks.update(mesh.device_mesh.mesh.flatten().tolist())
    return ranks


def is_fsdp1(module: nn.Module) -> bool:
    """Whether a module is a ``FullyShardedDataParallel``."""
    return _has_base(module, "FullyShardedDataParallel")


def is_dtensor(parameter: Tensor) -> bool:
    """Whether a tensor is a ``DTensor``."""
    return _has_base(parameter, "DTensor")


def is_fully_dtensor(model: nn.Module) -> bool:
    """Whether all sharded parameters of a model are those of ``fully_shard``.

    Args:
        model: Any module.

    Example:
        >>> is_fully_dtensor(nn.Linear(3, 2))
        True
    """
    is_wrapped = any(is_fsdp1(module) for module in model.modules())
    return not is_wrapped and not any(hasattr(parameter, "ds_id") for parameter in model.parameters())


def _is_fsdp2(module: nn.Module) -> bool:
    return _has_base(module, "FSDPModule")


def _has_base(value: object, name: str) -> bool:
    """Recognised by name, because importing the classes takes long, and DeepSpeed may not be installed."""
    return any(kind.__name__ == name for kind in type(value).__mro__)


def _n_fsdp_axes(parameter: Any) -> int:
    """The mesh axes of FSDP, which come first: those up to the first on which the parameter is divided."""
    if not is_dtensor(parameter):
        return 0
    for k, placement in enumerate(parameter.placements):
        if not placement.is_replicate():
            return k + 1
    return len(parameter.placements)


def _axis(parameter: Any, n_fsdp_axes: int) -> str:
    """The first mesh axis behind those of FSDP, its position where it has no name; empty where there is none."""
    if not is_dtensor(parameter) or parameter.device_mesh.ndim <= n_fsdp_axes:
        return ""
    names = parameter.device_mesh.mesh_dim_names
    return names[n_fsdp_axes] if names else str(n_fsdp_axes)

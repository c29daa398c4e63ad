"""Divisions of a model between processes that a lens cannot observe."""

from __future__ import annotations

import torch.distributed as dist
from torch import nn

from lightning_factorlens.capture.sharded_parameters import sharded_parameters, sharing_processes, tensor_parallel_axes
from lightning_factorlens.distributed import SingleProcess


def sharding_problem(model: nn.Module, process_group: SingleProcess, needs_gradients: bool) -> str:
    """Why a sharded model cannot be observed, and what to do.

    Args:
        model: The model.
        process_group: The processes of the lens.
        needs_gradients: Whether a measurement makes forward passes with gradients.

    Returns:
        Sentences that follow the name of the argument; empty for a whole model, and for a sharded one that can be
        observed.

    Example:
        >>> sharding_problem(nn.Linear(3, 2), SingleProcess(), needs_gradients=True)
        ''
    """
    sharded = sharded_parameters(model)
    if not sharded:
        return ""
    for name, axis in tensor_parallel_axes(model).items():
        return (
            f"{name!r} is divided along the mesh axis {axis!r}, which is not one of FSDP: with tensor parallelism a "
            "layer's output may be a part of its neurons, another one in each process, and the curves would differ "
            "between them. Train with fully_shard or FSDP alone, or observe a checkpoint in a model that is whole."
        )
    found = f"{len(sharded)} parameters are sharded over several processes, first {sharded[0]!r}"
    n_processes = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    if process_group.world_size == 1 and n_processes > 1:
        return (
            f"{found}, and the lens knows of one process. Pass process_group=get_process_group(device, {n_processes}) "
            "from lightning_factorlens.distributed, and observe in all processes inside "
            "`with process_group.synchronized_errors()`."
        )
    outside = sharing_processes(model) - process_group.global_ranks
    if outside:
        return (
            f"{found}, also over process {min(outside)}, which is not in the lens's process_group; forward passes "
            "would wait for it. Pass a group of all processes between which the parameters are divided."
        )
    if needs_gradients:
        return (
            f"{found}; forward passes with gradients are not supported then, because FSDP and DeepSpeed would reduce "
            "the gradients. Leave out the measurement that needs 'gradients'."
        )
    return ""

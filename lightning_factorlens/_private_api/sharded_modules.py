"""The parameters of FSDP's sharded modules."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def reshard_fsdp(module: Any) -> None:
    """Frees the whole parameters of one ``FullyShardedDataParallel``, which its root keeps after a forward pass."""
    from torch.distributed.fsdp._runtime_utils import _reshard

    handle = module._handle
    if module._is_root is not None and handle is not None and handle.uses_sharded_strategy:
        _reshard(module, handle, True)


def fsdp2_parameters(unit: Any) -> dict[tuple[nn.Module, str], Tensor]:
    """The parameters that one unit of ``fully_shard`` divides.

    Args:
        unit: A module on which ``fully_shard`` was called.

    Returns:
        The divided parameter by every module and attribute that hold it, also while the unit is gathered.
    """
    state = unit._get_fsdp_state()
    groups = getattr(state, "_fsdp_param_groups", None)  # torch before 2.12 has one
    if groups is None:
        groups = [state._fsdp_param_group] if state._fsdp_param_group else []
    found: dict[tuple[nn.Module, str], Tensor] = {}
    for group in groups:
        for parameter in group.fsdp_params:
            info = parameter._module_info
            holders = [(info.module, info.param_name), *zip(info.shared_modules, info.shared_param_names)]
            found.update(dict.fromkeys(holders, parameter.sharded_param))
    return found

"""Every use of a private attribute of lightning, torch or Python, so that new releases are checked in one place.

Tested with lightning 2.6.6 and torch 2.14.1 (with tensorboard 2.21.0). `tests/test_private_api.py` reads the other
modules and fails if one of them uses such an attribute, and checks that every attribute named here exists in the
installed versions. Nothing here imports lightning or tensorboard: their objects are only received.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager
from multiprocessing.managers import BaseProxy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.data import DataLoader

#: Base class of all convolutions and transposed convolutions of torch, lazy ones included.
ConvolutionBase: type[_ConvNd] = _ConvNd


def batches_that_stepped(trainer: Any) -> int:
    """The step at which a ``Trainer`` logs: optimizer steps, counted once per batch."""
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def add_batches_that_stepped(trainer: Any, count: int) -> None:
    """Moves the step at which a ``Trainer`` logs by ``count``."""
    trainer.fit_loop.epoch_loop._batches_that_stepped += count


def validation_data_source(trainer: Any) -> Any:
    """The source from which a ``Trainer``'s fit loop will load its validation data.

    Returns:
        An object with the methods ``is_defined()`` and ``dataloader()``.
    """
    return trainer.fit_loop.epoch_loop.val_loop._data_source


def save_on_train_epoch_end_method(callback: Any) -> Callable[[Any], bool] | None:
    """The method of ``ModelCheckpoint`` that returns, for a trainer, whether it saves when the training epoch ends.

    Returns:
        The bound method; None for a callback of another kind.
    """
    found: Callable[[Any], bool] | None = getattr(callback, "_should_save_on_train_epoch_end", None)
    return found


def checks_on_train_epoch_end(callback: Any) -> bool | None:
    """Whether an ``EarlyStopping`` checks when the training epoch ends; None before it has decided.

    Returns:
        True for a callback of another kind.
    """
    found: bool | None = getattr(callback, "_check_on_train_epoch_end", True)
    return found


def saves_by_steps(callback: Any) -> bool:
    """Whether a ``ModelCheckpoint`` saves after some training steps or some time; False for other callbacks."""
    by_steps = getattr(callback, "_every_n_train_steps", 0) > 0
    return by_steps or getattr(callback, "_train_time_interval", None) is not None


def trains_in_child_processes(trainer: Any) -> bool:
    """Whether a ``Trainer`` trains copies of its objects in child processes that it starts with multiprocessing."""
    return hasattr(trainer.strategy.launcher, "_start_method")


def callback_metrics_store(trainer: Any) -> dict[str, Tensor]:
    """The dictionary that ``Trainer.callback_metrics`` returns.

    Reading that property computes the user's logged metrics first, which is a collective operation where they are
    synchronized, and which the user's own hooks may not expect yet.
    """
    store: dict[str, Tensor] = trainer._logger_connector._callback_metrics
    return store


def logger_name_prefix(logger: Any) -> Any:
    """The ``prefix`` with which a logger of lightning was constructed; an empty string for other loggers."""
    return getattr(logger, "_prefix", "")


def default_hp_metric(logger: Any) -> bool:
    """Whether a ``TensorBoardLogger`` writes a table of hyperparameters itself; False for other loggers."""
    return bool(getattr(logger, "_default_hp_metric", False))


def has_file_writer(summary_writer: Any) -> bool:
    """Whether `file_writer` works for this object."""
    return hasattr(summary_writer, "_get_file_writer")


def file_writer(summary_writer: Any) -> Any:
    """The ``FileWriter`` of a torch ``SummaryWriter``, which writes several values as one event."""
    return summary_writer._get_file_writer()


def wrapped_sampler(dataset: Any) -> Any:
    """The user's sampler that lightning wrapped as the dataset of a ``DistributedSampler``; None for other datasets."""
    return getattr(dataset, "_sampler", None)


def iterates_by_itself(loader: DataLoader[Any]) -> bool:
    """Whether a subclass of ``DataLoader`` iterates in a way of its own, not as its parts tell."""
    kind = type(loader)
    return kind.__iter__ is not DataLoader.__iter__ or kind._get_iterator is not DataLoader._get_iterator


def shutdown_workers(iterator: Any) -> None:
    """Ends the worker processes of the iterator of a ``DataLoader``, without waiting for it to be garbage."""
    iterator._shutdown_workers()


def before_batch_transfer(pl_module: Any, batch: Any) -> Any:
    """The batch after the hook ``on_before_batch_transfer`` of a ``LightningModule`` or its datamodule."""
    return pl_module._on_before_batch_transfer(batch, dataloader_idx=0)


def sub_schedulers(scheduler: Any) -> Sequence[Any]:
    """The schedulers that a ``ChainedScheduler`` or ``SequentialLR`` is made of; none for other schedulers."""
    found: Sequence[Any] = getattr(scheduler, "_schedulers", ())
    return found


def registered_buffers(module: nn.Module) -> dict[str, Tensor | None]:
    """The buffers that a module itself has registered, by name.

    Returns:
        The module's own dictionary: writing to it replaces a buffer, without the checks of ``setattr``.
    """
    return module._buffers


def tensor_base(tensor: Tensor) -> Tensor | None:
    """The tensor that ``tensor`` is a view of; None if it is no view."""
    return tensor._base


def tensor_version(tensor: Tensor) -> int | None:
    """How often a tensor has been written to in place; None for one that was made in inference mode."""
    return None if tensor.is_inference() else tensor._version


def set_tensor_version(tensor: Tensor, version: int | None) -> None:
    """Sets what `tensor_version` returns, for a tensor whose values are again those of that version."""
    if version is None or tensor.is_inference():
        return
    set_versions = torch._C._autograd._unsafe_set_version_counter
    try:
        set_versions((tensor,), (version,))
    except TypeError:  # torch 2.6 takes one tensor
        set_versions(tensor, version)  # type: ignore[arg-type]


def plain_tensor_operations() -> AbstractContextManager[None]:
    """A context in which subclasses of Tensor do not change what an operation does."""
    return torch._C.DisableTorchFunctionSubclass()


def sparse_parts(tensor: Tensor) -> tuple[Tensor, ...]:
    """The dense tensors that a sparse tensor is made of, not copied; a COO tensor need not be coalesced."""
    if tensor.layout == torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    return tensor.ccol_indices(), tensor.row_indices(), tensor.values()


def wrapped_tensors(tensor: Tensor) -> list[Tensor]:
    """The tensors that a tensor without memory of its own is made of; none for an ordinary one."""
    if tensor.is_nested and tensor.layout == torch.strided:
        return [tensor.values()]
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if type(tensor) is Tensor or flatten is None:
        return []
    names, _ = flatten()
    return [getattr(tensor, name) for name in names]


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


def is_compiled(module: nn.Module) -> bool:
    """Whether the calls of a module run compiled or scripted code, in which hooks have no place."""
    is_wrapped = "_orig_mod" in module._modules
    is_compiled_in_place = module._compiled_call_impl is not None
    return is_wrapped or is_compiled_in_place or isinstance(module, torch.jit.ScriptModule)


def has_compiled_code() -> bool:
    """Whether ``torch.compile`` has compiled any function or module in this process."""
    from torch._dynamo.utils import counters

    return counters["frames"]["total"] > 0


def without_function_modes() -> AbstractContextManager[None]:
    """A context in which no ``TorchFunctionMode`` of the user, nor a subclass of Tensor, sees the operations."""
    return torch._C.DisableTorchFunction()


def has_dispatch_mode() -> bool:
    """Whether a ``TorchDispatchMode``, such as a counter of operations, sees the operations of this thread."""
    return torch._C._len_torch_dispatch_stack() > 0


def own_parameters(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """The parameters that a module itself has registered, by name: its own dictionary."""
    return module._parameters


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


def storage_reference(tensor: Tensor) -> Hashable:
    """What identifies the memory of a tensor without keeping it.

    Returns:
        An object that equals those of other tensors in the same memory, and no other as long as it exists, even if the
        memory has been freed and given to another tensor.
    """
    from torch.multiprocessing.reductions import StorageWeakRef

    reference: Hashable = StorageWeakRef(tensor.untyped_storage())
    return reference


def node_input_shapes(node: Any) -> list[tuple[int, ...]]:
    """The shapes of the tensors that a node of an autograd graph has computed; empty where it does not tell them."""
    return [tuple(map(int, metadata.shape)) for metadata in getattr(node, "_input_metadata", ())]


def node_dim(node: Any, n_axes: int) -> int | None:
    """The argument ``dim`` of the operation of an autograd node, from 0; None where it has none."""
    dim = getattr(node, "_saved_dim", None)
    if not isinstance(dim, int):
        return None
    if dim >= 2**63:  # a negative number, given back without its sign
        dim -= 2**64
    return dim % n_axes if n_axes else None


def node_argument(node: Any, name: str) -> Any:
    """An argument of the operation of an autograd node that is a number or a tuple of them; None where it has none.

    Args:
        node: The node.
        name: Name of the argument in torch's functions, such as ``"kernel_size"``.
    """
    return getattr(node, f"_saved_{name}", None)


def replace_manager_calls(make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replaces, in this process, how methods of the values of a ``multiprocessing.Manager`` are called.

    Args:
        make: Receives the function ``(proxy, method, args, kwds) → result`` of `BaseProxy`, and returns another one.
    """
    replacement = make(BaseProxy._callmethod)

    def call(proxy: BaseProxy, *args: Any, **kwargs: Any) -> Any:
        return replacement(proxy, *args, **kwargs)

    BaseProxy._callmethod = call  # type: ignore[method-assign, assignment]


def manager_value_key(proxy: BaseProxy) -> Hashable:
    """What identifies the value of a ``multiprocessing.Manager`` for which a proxy stands."""
    token: Any = proxy._token  # type: ignore[attr-defined]
    return token.address, token.id

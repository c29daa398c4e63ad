"""The versions, memory and parts of tensors, and what else sees their operations."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager

import torch
from torch import Tensor


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


def storage_reference(tensor: Tensor) -> Hashable:
    """What identifies the memory of a tensor without keeping it.

    Returns:
        An object that equals those of other tensors in the same memory, and no other as long as it exists, even if the
        memory has been freed and given to another tensor.
    """
    from torch.multiprocessing.reductions import StorageWeakRef

    reference: Hashable = StorageWeakRef(tensor.untyped_storage())
    return reference


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


def plain_tensor_operations() -> AbstractContextManager[None]:
    """A context in which subclasses of Tensor do not change what an operation does."""
    return torch._C.DisableTorchFunctionSubclass()


def without_function_modes() -> AbstractContextManager[None]:
    """A context in which no ``TorchFunctionMode`` of the user, nor a subclass of Tensor, sees the operations."""
    return torch._C.DisableTorchFunction()


def has_dispatch_mode() -> bool:
    """Whether a ``TorchDispatchMode``, such as a counter of operations, sees the operations of this thread."""
    return torch._C._len_torch_dispatch_stack() > 0

"""Copies of tensors, from which their values are restored bit for bit, in place and only where they have changed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens._private_api.tensors import set_tensor_version, sparse_parts, tensor_version

#: Copies of more bytes than this are kept in the main memory where the memory of an accelerator is scarce.
MAX_DEVICE_BYTES = 1 << 20
#: Largest part of the memory that training has needed, and that is not in use now, for one copy.
MAX_UNUSED_PART = 0.5


class StorageCopies:
    """Copies of byte ranges of storages; a range that several tensors use (tied weights, views) is copied once."""

    def __init__(self) -> None:
        self._ranges: dict[tuple[str, int, int], _SavedRange] = {}

    def save(self, tensor: Tensor) -> None:
        """Copies the bytes from the first to the last element of a dense tensor, those between them included."""
        storage = tensor.untyped_storage()
        start, length = _byte_range(tensor)
        if length == 0 or storage.data_ptr() == 0:
            return
        key = (str(storage.device), storage.data_ptr() + start, length)
        if key not in self._ranges:
            self._ranges[key] = _SavedRange(storage, start, length)

    def restorers(self) -> list[_SavedRange]:
        """One object with a method ``restore()`` for each copied range."""
        return list(self._ranges.values())


class _SavedRange:
    """The bytes ``start`` to ``start + length`` of a storage."""

    def __init__(self, storage: torch.UntypedStorage, start: int, length: int) -> None:
        self.storage = storage
        self.n_bytes = storage.nbytes()
        # Whole words are compared eight times as fast as bytes.
        dtype = torch.uint8
        if (storage.data_ptr() + start) % 8 == 0 and start % 8 == 0 and length % 8 == 0:
            dtype = torch.int64
        size = dtype.itemsize
        empty = torch.empty(0, dtype=dtype, device=storage.device)
        self.current = empty.set_(storage, start // size, (length // size,), (1,))
        is_near = length <= MAX_DEVICE_BYTES or storage.device.type == "cpu" or has_room(storage.device, length)
        self.copy = self.current.clone() if is_near else self.current.cpu()

    def restore(self) -> None:
        if self.storage.nbytes() < self.n_bytes:
            self.storage.resize_(self.n_bytes)
        copy = self.copy.to(self.current.device)
        if not torch.equal(self.current, copy):
            self.current.copy_(copy)


def has_room(device: torch.device, n_bytes: int) -> bool:
    """Whether an accelerator can hold a copy without needing more memory than the training has needed before.

    Activations of the training steps before are gone when a model is isolated, and a pass without gradients needs less.

    Args:
        device: The device.
        n_bytes: Size of the copy.

    Returns:
        False for devices other than CUDA's, where nothing is known; before the first training step; and where the
        allocator has no free block for it within what it already holds.

    Example:
        >>> has_room(torch.device("cpu"), 1)
        False
    """
    if device.type != "cuda":
        return False
    allocated = torch.cuda.memory_allocated(device)
    unused = torch.cuda.max_memory_allocated(device) - allocated
    held = torch.cuda.memory_reserved(device) - allocated
    return n_bytes <= MAX_UNUSED_PART * min(unused, held)


class SavedTensor:
    """Which memory a tensor has, with which shape; for a tensor without strides also its values.

    Args:
        tensor: Any tensor with values.
        copies: Copies the memory of a dense tensor.
    """

    def __init__(self, tensor: Tensor, copies: StorageCopies) -> None:
        self.tensor = tensor
        self.version = tensor_version(tensor)
        self.kind = type(tensor)
        self.is_lazy = nn.parameter.is_lazy(tensor)
        self.is_dense = tensor.layout == torch.strided
        self.data: Tensor = tensor.data
        self.requires_grad = tensor.requires_grad
        self.gradient = leaf_gradient(tensor)
        if self.is_dense and not self.is_lazy:
            copies.save(self.data)
        elif not self.is_dense:
            self.data = tensor.detach().clone()

    def restore(self) -> None:
        """Gives the tensor its memory, shape and version back; `StorageCopies` restores dense values."""
        tensor = self.tensor
        if self.is_lazy:
            if type(tensor) is not self.kind:
                tensor.data = self.data
                tensor.__class__ = self.kind
            return
        if self.is_dense:
            if not _is_same_memory(tensor.data, self.data):
                tensor.data = self.data
        elif not _are_equal_sparse(tensor.data, self.data):
            if tensor.layout == torch.sparse_coo:
                tensor.data = self.data
            else:
                tensor.copy_(self.data)  # setting `data` has no effect on a compressed tensor
        if tensor.is_leaf:
            if tensor.grad is not self.gradient:
                tensor.grad = self.gradient
            if tensor.requires_grad != self.requires_grad:
                tensor.requires_grad_(self.requires_grad)
        if tensor_version(tensor) != self.version:
            # The values are the old ones, so a graph that has saved the tensor may still be differentiated.
            set_tensor_version(tensor, self.version)


def leaf_gradient(tensor: Tensor) -> Tensor | None:
    """The attribute ``grad`` of a tensor; None for one that was computed from others, of which torch warns."""
    return tensor.grad if tensor.is_leaf else None


def is_restorable(tensor: Tensor) -> bool:
    """Whether a tensor has values of its own: not one on the meta device, a fake or a nested one.

    Args:
        tensor: Any tensor.

    Returns:
        True for dense tensors, quantised ones included, and for sparse ones; True for lazy ones, whose state is that
        they have no values.

    Example:
        >>> is_restorable(torch.zeros(2)), is_restorable(torch.zeros(2, device="meta"))
        (True, False)
    """
    if nn.parameter.is_lazy(tensor):
        return True
    return not (tensor.is_meta or tensor.is_nested or tensor.layout not in _LAYOUTS)


_LAYOUTS = (
    torch.strided,
    torch.sparse_coo,
    torch.sparse_csr,
    torch.sparse_csc,
    torch.sparse_bsr,
    torch.sparse_bsc,
)


def _byte_range(tensor: Tensor) -> tuple[int, int]:
    """Offset and length in bytes of the part of the storage that a dense tensor's elements span."""
    if tensor.is_quantized:  # elements may be smaller than a byte
        return 0, tensor.untyped_storage().nbytes()
    if tensor.numel() == 0:
        return 0, 0
    span = 1
    for size, stride in zip(tensor.shape, tensor.stride()):
        span += (size - 1) * stride
    size = tensor.element_size()
    return int(tensor.storage_offset()) * size, span * size


def _is_same_memory(tensor: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same view of the same storage."""

    def view(part: Tensor) -> tuple[Any, ...]:
        flags = (part.is_conj(), part.is_neg())
        return (part.data_ptr(), part.device, part.dtype, part.shape, part.stride(), part.storage_offset(), flags)

    return tensor.layout == other.layout and view(tensor) == view(other)


def _are_equal_sparse(tensor: Tensor, other: Tensor) -> bool:
    """Whether two sparse tensors have equal indices and values, bit for bit."""
    if tensor.layout != other.layout or tensor.shape != other.shape or tensor.dtype != other.dtype:
        return False
    for part, other_part in zip(sparse_parts(tensor), sparse_parts(other)):
        if part.shape != other_part.shape or not _are_equal_bits(part, other_part):
            return False
    return True


def _are_equal_bits(tensor: Tensor, other: Tensor) -> bool:
    """Whether two dense tensors of one shape and dtype are equal bit for bit; NaN is equal to NaN."""
    flat = tensor.contiguous().flatten().view(torch.uint8)
    return torch.equal(flat, other.contiguous().flatten().view(torch.uint8))

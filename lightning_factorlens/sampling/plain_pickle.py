"""Batches as bytes, to be sent from one process to another without shared memory or open files."""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch
from torch import Tensor


class _Pickler(pickle.Pickler):
    """Writes of a tensor only the elements that it has, where torch would write all memory that it is a view of."""

    def reducer_override(self, part: Any) -> Any:
        is_plain = type(part) is Tensor and part.device.type == "cpu" and part.layout == torch.strided
        if is_plain and part.untyped_storage().nbytes() > part.numel() * part.element_size():
            return part.detach().clone().__reduce_ex__(self.proto)
        return NotImplemented

    #: The protocol, as `pickle.Pickler` does not show it.
    proto = pickle.HIGHEST_PROTOCOL


def to_bytes(value: Any) -> bytes:
    """Pickles a value.

    The tensors that torch sends between processes occupy shared memory, which is small in a container, and an open file
    each, of which a process may have about a thousand.

    Raises:
        pickle.PicklingError, TypeError, AttributeError: A part cannot be pickled.

    Example:
        >>> pickle.loads(to_bytes(torch.arange(1000)[3:5])), len(to_bytes(torch.arange(1000)[3:5])) < 2000
        (tensor([3, 4]), True)
    """
    buffer = io.BytesIO()
    _Pickler(buffer, _Pickler.proto).dump(value)
    return buffer.getvalue()


def from_bytes(data: bytes) -> Any:
    """The value of `to_bytes`."""
    return pickle.loads(data)

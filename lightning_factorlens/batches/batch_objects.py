"""The parts of a batch that are objects: dataclasses, which are containers, and objects that hold tensors."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

#: Attributes under which an object that holds tensors, such as a batch of graphs, holds its inputs.
INPUT_ATTRIBUTES = ("x", "pos")


def is_record(part: Any) -> bool:
    """Whether a part of a batch is an object of a dataclass, which is a container as a dictionary is.

    One that holds inputs in ``x`` and can be moved is an object of its own kind instead, such as a batch of graphs.
    """
    if not is_dataclass(part) or isinstance(part, (type, Mapping, tuple, list, Tensor)):
        return False
    return not (callable(getattr(part, "to", None)) and isinstance(getattr(part, "x", None), Tensor))


def record_fields(record: Any) -> dict[str, Any]:
    """The fields of an object of a dataclass, by name.

    Example:
        >>> from dataclasses import make_dataclass
        >>> record_fields(make_dataclass("Pair", ["image", "label"])(image=1, label=2))
        {'image': 1, 'label': 2}
    """
    return {entry.name: getattr(record, entry.name) for entry in fields(record)}


def is_batch_object(part: Any) -> bool:
    """Whether a part of a batch is an object that holds tensors and can be moved, such as a batch of graphs.

    Example:
        >>> is_batch_object(torch.zeros(2)), is_batch_object({"x": torch.zeros(2)})
        (False, False)
    """
    is_container = isinstance(part, (Tensor, Mapping, tuple, list)) or is_record(part)
    return not is_container and callable(getattr(part, "to", None))


def node_stores(part: Any) -> list[Any]:
    """The object itself and, of a heterogeneous graph of PyTorch Geometric, what holds the nodes of each type."""
    stores = getattr(part, "node_stores", None)
    return [part, *stores] if isinstance(stores, (list, tuple)) else [part]


def input_place(part: Any) -> tuple[Any, str] | None:
    """Where a batch object holds its inputs: the first tensor of at least two axes under `INPUT_ATTRIBUTES`.

    Returns:
        The object that has the attribute, and the attribute's name; None for an object without inputs.
    """
    for store in node_stores(part):
        for name in INPUT_ATTRIBUTES:
            value = getattr(store, name, None)
            if isinstance(value, Tensor) and value.ndim >= 2:
                return store, name
    return None


def object_inputs(part: Any) -> Tensor | None:
    """The inputs of a batch object; None for anything else.

    Example:
        >>> from types import SimpleNamespace
        >>> points = SimpleNamespace(pos=torch.zeros(5, 3), to=print)
        >>> tuple(object_inputs(points).shape), object_inputs(torch.zeros(5, 3))
        ((5, 3), None)
    """
    place = input_place(part) if is_batch_object(part) else None
    return None if place is None else getattr(*place)


def batch_objects(batch: Any) -> Iterator[Any]:
    """Every part of a batch for which `is_batch_object` is true."""
    if is_record(batch):
        batch = record_fields(batch)
    if isinstance(batch, Mapping):
        batch = tuple(batch.values())
    if isinstance(batch, (tuple, list)):
        for part in batch:
            yield from batch_objects(part)
    elif is_batch_object(batch):
        yield batch


def move(part: Any, device: torch.device) -> Any:
    """A tensor or an object that holds tensors on another device; anything else unchanged."""
    if isinstance(part, Tensor):
        return part.to(device)
    if is_batch_object(part):
        moved = copy.copy(part)  # `to` of such objects works in place
        result = moved.to(device)
        return moved if result is None else result
    return part


def clone(part: Any) -> Any:
    """A copy of a tensor or of an object that holds tensors; anything else unchanged."""
    if isinstance(part, Tensor):
        return part.clone()
    if is_batch_object(part):
        return part.clone() if callable(getattr(part, "clone", None)) else copy.deepcopy(part)
    return part

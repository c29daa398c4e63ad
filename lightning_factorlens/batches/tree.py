"""Iteration over a collated batch: tensors in dictionaries, lists and tuples, and objects that hold tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

#: Keys under which a dictionary holds its inputs. Their tensors come first.
INPUT_KEYS = (
    "image",
    "images",
    "img",
    "imgs",
    "pixel_values",
    "x",
    "input",
    "inputs",
    "input_ids",
    "tokens",
    "text",
    "features",
    "source",
    "src",
)


#: Attributes under which an object that holds tensors, such as a batch of graphs, holds its inputs.
INPUT_ATTRIBUTES = ("x", "pos")


def tree_leaves(batch: Any) -> Iterator[Tensor]:
    """Every tensor of a batch, in order, but in a dictionary those under one of `INPUT_KEYS` first.

    Args:
        batch: A tensor, or tensors in dictionaries, lists, tuples and dataclasses.

    Yields:
        The tensors.

    Example:
        >>> import torch
        >>> [tuple(t.shape) for t in tree_leaves({"label": torch.zeros(4), "image": torch.zeros(4, 3)})]
        [(4, 3), (4,)]
    """
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        keys = sorted(batch, key=lambda key: str(key) not in INPUT_KEYS)  # stable: the other keys keep their order
        for key in keys:
            yield from tree_leaves(batch[key])
    elif isinstance(batch, (tuple, list)):
        for part in batch:
            yield from tree_leaves(part)
    elif is_record(batch):
        yield from tree_leaves(record_fields(batch))


def tree_map(function: Callable[[Any], Any], batch: Any) -> Any:
    """The batch with ``function`` applied to each of its parts.

    Args:
        function: Receives everything that is no dictionary, tuple, dataclass, or list of tensors, objects and
            containers; a list of anything else (such as names) is one part.
        batch: A tensor, or tensors in dictionaries, lists and tuples.

    Returns:
        A batch of the same containers.

    Example:
        >>> tree_map(lambda part: part if isinstance(part, list) else part * 2, {"a": 1, "b": (2, ["x", "y"])})
        {'a': 2, 'b': (4, ['x', 'y'])}
    """
    if isinstance(batch, Mapping):
        parts = {key: tree_map(function, part) for key, part in batch.items()}
        if type(batch) is dict:
            return parts
        return type(batch)(parts)  # type: ignore[call-arg]
    if is_record(batch):
        changed = copy.copy(batch)
        for name, part in tree_map(function, record_fields(batch)).items():
            object.__setattr__(changed, name, part)  # also where the dataclass is frozen
        return changed
    if not isinstance(batch, (tuple, list)) or (isinstance(batch, list) and not _holds_containers(batch)):
        return function(batch)
    values = [tree_map(function, part) for part in batch]
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*values)
    return type(batch)(values)


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


def _holds_containers(batch: list[Any]) -> bool:
    for part in batch:
        if isinstance(part, (Tensor, Mapping, tuple, list)) or is_record(part) or is_batch_object(part):
            return True
    return False


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


def replace_tensors(batch: Any, replacements: Mapping[int, Tensor]) -> tuple[Any, int]:
    """A batch with some tensors replaced.

    Args:
        batch: Tensors in dictionaries, lists and tuples, or objects that hold inputs, see `input_place`.
        replacements: The new tensor by the ``id`` of the old one.

    Returns:
        The batch, and how many of its parts were replaced.
    """
    n_replaced = 0

    def replace(part: Any) -> Any:
        """The part, or what replaces it."""
        nonlocal n_replaced
        inputs = object_inputs(part) if is_batch_object(part) else part
        if inputs is None or id(inputs) not in replacements:
            return part
        n_replaced += 1
        if inputs is part:
            return replacements[id(part)]
        part = copy.copy(part)
        place = input_place(part)
        assert place is not None  # the copy has what the original has
        setattr(*place, replacements[id(inputs)])
        return part

    return tree_map(replace, batch), n_replaced


def holds_records(batch: Any, n_samples: int) -> bool:
    """Whether a batch has a list with one entry for each sample whose tensors are not rows of samples.

    Such a batch, as the targets of detection are, cannot be cut by rows.

    Example:
        >>> images, boxes = torch.zeros(2, 3, 8, 8), [{"boxes": torch.zeros(5, 4)}, {"boxes": torch.zeros(1, 4)}]
        >>> holds_records([images, boxes], n_samples=2), holds_records([images, images], n_samples=2)
        (True, False)
    """
    if is_record(batch):
        batch = record_fields(batch)
    if isinstance(batch, Mapping):
        return any(holds_records(part, n_samples) for part in batch.values())
    if not isinstance(batch, (tuple, list)):
        return False
    if len(batch) == n_samples:
        for tensor in tree_leaves(batch):
            if tensor.ndim == 0 or len(tensor) != n_samples:
                return True
    return any(holds_records(part, n_samples) for part in batch)

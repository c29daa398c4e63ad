"""Iteration over a collated batch: tensors in dictionaries, lists and tuples, and objects that hold tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from lightning_factorlens.batches.batch_objects import (
    input_place,
    is_batch_object,
    is_record,
    object_inputs,
    record_fields,
)

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


def _holds_containers(batch: list[Any]) -> bool:
    for part in batch:
        if isinstance(part, (Tensor, Mapping, tuple, list)) or is_record(part) or is_batch_object(part):
            return True
    return False


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
        >>> import torch
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

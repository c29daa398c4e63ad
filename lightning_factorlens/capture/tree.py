"""Iteration over a collated batch: tensors in dictionaries, lists and tuples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

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


def tree_leaves(batch: Any) -> Iterator[Tensor]:
    """Every tensor of a batch, in order, but in a dictionary those under one of `INPUT_KEYS` first.

    Args:
        batch: A tensor, or tensors in dictionaries, lists and tuples.

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


def tree_map(function: Callable[[Any], Any], batch: Any) -> Any:
    """The batch with ``function`` applied to each of its parts.

    Args:
        function: Receives everything that is no dictionary, tuple, or list of tensors and containers; a list of
            anything else (such as names) is one part.
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
    if not isinstance(batch, (tuple, list)) or (isinstance(batch, list) and not _holds_containers(batch)):
        return function(batch)
    values = [tree_map(function, part) for part in batch]
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*values)
    return type(batch)(values)


def _holds_containers(batch: list[Any]) -> bool:
    return any(isinstance(part, (Tensor, Mapping, tuple, list)) for part in batch)

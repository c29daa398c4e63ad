"""Joining batches of equal structure to one batch of all their samples."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.tree import tree_map


def merge_batches(batches: list[Batch]) -> Batch | None:
    """Joins batches whose samples are alike, so that they can be cut anywhere.

    Args:
        batches: At least one. If they are joined the list is emptied batch by batch, so that memory does not hold all
            samples twice.

    Returns:
        One batch; None where the batches cannot be cut, or their samples differ in size or structure.

    Example:
        >>> merged = merge_batches([Batch.wrap(torch.zeros(2, 3)), Batch.wrap(torch.ones(1, 3))])
        >>> tuple(merged.inputs.shape)
        (3, 3)
    """
    if not all(batch.is_cuttable for batch in batches):
        return None
    if len(batches) == 1:
        return batches.pop()
    first = batches[0]
    if isinstance(first.inputs, list):
        images = [image for batch in batches for image in batch.inputs]
        return Batch(images, images)
    parts = _parts(first)
    for batch in batches[1:]:
        if not _are_alike(first, parts, batch):
            return None
    n_samples = sum(map(len, batches))
    merged = [_empty(part, len(first), n_samples) for part in parts]
    start = 0
    while batches:
        batch = batches.pop(0)
        for joined, part in zip(merged, _parts(batch)):
            if isinstance(joined, _Rows):
                joined.add(part, start)
        start += len(batch)
    return _assemble(first, parts, merged)


class _Rows:
    """The rows of one part of all batches.

    Args:
        part: That part of the first batch, a tensor or a list.
        n_samples: Number of rows of all batches.
    """

    def __init__(self, part: Any, n_samples: int) -> None:
        self.values: Any = []
        if isinstance(part, Tensor):
            layout = torch.contiguous_format
            if part.ndim == 4 and not part.is_contiguous() and part.is_contiguous(memory_format=torch.channels_last):
                layout = torch.channels_last
            shape = (n_samples, *part.shape[1:])
            self.values = torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=layout)

    def add(self, part: Any, start: int) -> None:
        """Copies the rows of one batch."""
        if isinstance(part, Tensor):
            self.values[start : start + len(part)] = part
        else:
            self.values += part


def _parts(batch: Batch) -> list[Any]:
    """The parts of a batch's data, in order; the inputs, if they are none of them, are the last."""
    parts: list[Any] = []

    def collect(part: Any) -> Any:
        parts.append(part)
        return part

    tree_map(collect, batch.data)
    if not any(part is batch.inputs for part in parts):
        parts.append(batch.inputs)
    return parts


def _has_rows(part: Any, n_samples: int) -> bool:
    """Whether a part has one row for each sample."""
    is_sized = (isinstance(part, Tensor) and part.ndim > 0) or isinstance(part, list)
    return is_sized and len(part) == n_samples


def _are_alike(first: Batch, parts: list[Any], batch: Batch) -> bool:
    """Whether two batches have the same structure, rows of the same shapes, and are otherwise equal."""
    others = _parts(batch)
    if type(first.data) is not type(batch.data) or len(parts) != len(others):
        return False
    for part, other in zip(parts, others):
        if type(part) is not type(other):
            return False
        if _has_rows(part, len(first)) and _has_rows(other, len(batch)):
            if isinstance(part, Tensor) and (part.shape[1:] != other.shape[1:] or part.dtype != other.dtype):
                return False
        elif isinstance(part, Tensor):
            if not torch.equal(part, other):
                return False
        elif part != other:
            return False
    return True


def _empty(part: Any, n_first: int, n_samples: int) -> Any:
    """The place for the rows of all batches; a part without rows is itself."""
    return _Rows(part, n_samples) if _has_rows(part, n_first) else part


def _assemble(first: Batch, parts: list[Any], merged: list[Any]) -> Batch:
    """The batch of the first one's structure with the joined parts."""
    values = [joined.values if isinstance(joined, _Rows) else joined for joined in merged]
    inputs = next(value for part, value in zip(parts, values) if part is first.inputs)
    remaining = iter(values)
    return Batch(tree_map(lambda _: next(remaining), first.data), inputs)

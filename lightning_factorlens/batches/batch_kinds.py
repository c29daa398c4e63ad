"""What single batches of a probe consist of: bags of instances, and the data without labels."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.batch_objects import batch_objects, object_inputs

#: Attributes under which a batch object, such as a batch of graphs, holds labels.
LABEL_ATTRIBUTES = ("y", "label", "labels", "target", "targets")


def mark_bags(batches: list[Batch], n_drawn: Sequence[int | None]) -> list[Batch]:
    """Marks batches of one sample whose numbers of rows differ, as of bags of instances: the rows are its parts.

    Args:
        batches: All batches of a probe.
        n_drawn: Number of samples that were collated in each.

    Returns:
        The batches; with a ``row_index`` where each is a bag.

    Example:
        >>> bags = [Batch(x, x, n_samples=1, is_single=True) for x in (torch.zeros(5, 2), torch.zeros(7, 2))]
        >>> [len(bag.row_index) for bag in mark_bags(bags, [1, 1])]
        [5, 7]
    """
    shapes = set()
    n_rows = []
    for batch in batches:
        if not isinstance(batch.inputs, Tensor) or next(batch_objects(batch.data), None) is not None:
            return batches
        shapes.add(batch.inputs.shape[1:])
        n_rows.append(len(batch.inputs))
    is_single = all(batch.is_single for batch in batches)
    compared = n_rows if is_single else n_rows[:-1]  # the last of several finished batches may be smaller
    if set(n_drawn) != {1} or len(shapes) > 1 or len(set(compared)) < 2:
        return batches
    bags = []
    for batch in batches:
        row_index = torch.zeros(len(batch.inputs), dtype=torch.long)
        bags.append(replace(batch, n_samples=1, row_index=row_index, is_single=True))
    return bags


def without_labels(batch: Batch) -> Batch:
    """The batch with its inputs as its data; an object that holds them is kept, without its labels."""
    for part in batch_objects(batch.data):
        if object_inputs(part) is batch.inputs:
            data = copy.copy(part)
            for name in LABEL_ATTRIBUTES:
                if name in getattr(data, "__dict__", {}) or name in _stored_names(data):
                    delattr(data, name)
            return replace(batch, data=data)
    return replace(batch, data=batch.inputs)


def _stored_names(data: object) -> Sequence[str]:
    """The names that a graph of PyTorch Geometric lists as its own."""
    keys = getattr(data, "keys", None)
    return list(keys()) if callable(keys) else ()

"""The inputs of batches: their sizes, one tensor of them all, and functions of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.find_inputs import Inputs
from lightning_factorlens.batches.sample_rows import input_rows, resize_rows, smallest_shape


def input_shapes(batches: Iterable[Batch]) -> set[tuple[int, ...]]:
    """The shapes of the inputs of single samples that occur in some batches."""
    shapes = set()
    for batch in batches:
        for rows in input_rows(batch):
            shapes.add(tuple(rows.shape[1:]))
    return shapes


def join_inputs(batches: Iterable[Batch], shapes: set[tuple[int, ...]], device: torch.device) -> Tensor:
    """The inputs of some batches, one row for each sample; larger ones are averaged to the smallest size.

    Args:
        batches: The batches.
        shapes: From `input_shapes`.
        device: Where the result is.

    Returns:
        Shape (N, …).

    Raises:
        ValueError: The inputs cannot be compared.
    """
    shape = smallest_shape(sorted(shapes))
    rows = []
    for batch in batches:
        for values in input_rows(batch):
            resized = resize_rows(values, shape)
            if resized is None:
                raise ValueError(
                    f"probe: found inputs of {tuple(values.shape[1:])} and of {shape} features, which cannot be "
                    "compared; pass `forward_fn=` an object whose method `inputs(batch)` returns equal ones."
                )
            rows.append(resized.to(device))
    return torch.cat(rows)


def mean_input_size(batch: Batch) -> float:
    """Mean number of input entries of one sample."""
    return sum(tensor.numel() for tensor in _input_tensors(batch)) / max(1, len(batch))


def n_bytes(batch: Batch) -> int:
    """Bytes of a batch's inputs."""
    return sum(tensor.numel() * tensor.element_size() for tensor in _input_tensors(batch))


def _input_tensors(batch: Batch) -> list[Tensor]:
    return batch.inputs if isinstance(batch.inputs, list) else [batch.inputs]


def map_inputs(function: Callable[[Tensor], Tensor], batch: Batch) -> Batch:
    """The batch with a function applied to its inputs, which must be part of its data; see `Probe.map_inputs`."""
    inputs: Inputs
    if isinstance(batch.inputs, list):
        inputs = [function(image.unsqueeze(0)).squeeze(0) for image in batch.inputs]
    elif batch.is_single and batch.row_index is None:
        inputs = function(batch.inputs.unsqueeze(0)).squeeze(0)
    else:
        inputs = function(batch.inputs)
    changed = batch.with_inputs(inputs)
    assert changed is not None  # `Probe.map_inputs` has tried it
    return changed

"""The values of an application of a weight: their samples, their positions and their precision."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.sample_rows import sample_rows
from lightning_factorlens.capture.linear_calls import LinearCall
from lightning_factorlens.capture.linear_layers import LinearLayer


def without_bias(layer: LinearLayer, outputs: Tensor) -> Tensor:
    """A layer's outputs without its bias and with one axis of positions, shape (n, d, positions), at least float32.

    Args:
        layer: The layer.
        outputs: Shape (n, d, …) of a convolution, (n, …, d) of a linear layer.
    """
    values = at_least_float32(outputs)
    values = values.flatten(2) if layer.weight.stride else values.flatten(1, -2).mT if values.ndim > 2 else values
    values = values.unsqueeze(2) if values.ndim == 2 else values
    return values if layer.bias is None else values - layer.bias.to(values)[:, None]


def sample_values(values: Tensor, batch: Batch) -> tuple[Tensor, Tensor | None] | None:
    """The values by rows, and the sample of each row where the rows are parts of samples; None for other rows."""
    if batch.row_index is not None and len(values) == len(batch.row_index):
        return values, batch.row_index.to(values.device)
    rows = sample_rows(values, batch)
    return None if rows is None else (rows, None)


def grid_of(call: LinearCall) -> tuple[int, ...]:
    """Shape of the layer's output without samples and channels."""
    if call.outputs is None:
        assert call.inputs is not None
        return tuple(call.inputs.shape[1:-1])
    return tuple(call.outputs.shape[2:] if call.layer.weight.stride else call.outputs.shape[1:-1])


def position_axes(layer: LinearLayer, values: Tensor) -> tuple[int, ...]:
    """The axes of a layer's output that are positions."""
    return tuple(range(2, values.ndim)) if layer.weight.stride else tuple(range(1, values.ndim - 1))


def at_least_float32(values: Tensor) -> Tensor:
    """The values in float32; in float64 where they have it."""
    return values if values.dtype == torch.float64 else values.float()

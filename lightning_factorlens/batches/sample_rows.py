"""Which rows of a tensor belong to which sample, and tensors of one row for each sample.

The rows of most tensors are the samples. Those of a batch of graphs are nodes, and those of a bag of instances are its
instances: they are averaged over each sample. Where samples have different sizes, the larger ones are averaged down.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.batch_objects import batch_objects, node_stores, object_inputs
from lightning_factorlens.batches.find_inputs import Inputs
from lightning_factorlens.batches.tree import tree_leaves


def sample_rows(values: Tensor, batch: Batch) -> Tensor | None:
    """A tensor that a model computes for a batch, with one row for each sample.

    Args:
        values: Any tensor of the forward pass.
        batch: n samples, with which the model was called.

    Returns:
        Shape (n, …): ``values`` itself where its rows are the samples; the mean over each sample's rows where they are
        parts of samples; with a first axis added where the batch is one sample without a batch axis. None for any other
        number of rows.

    Example:
        >>> nodes = Batch(torch.rand(3, 2), torch.rand(3, 2), n_samples=2, row_index=torch.tensor([0, 0, 1]))
        >>> sample_rows(torch.tensor([[1.0], [3.0], [5.0]]), nodes)
        tensor([[2.],
                [5.]])
    """
    n_rows = len(values) if values.ndim else 0
    if n_rows == len(batch):
        return values
    if batch.row_index is not None and n_rows == len(batch.row_index):
        return mean_rows(values, batch.row_index, len(batch))
    if batch.is_single:
        return values.unsqueeze(0)
    return None


def mean_rows(values: Tensor, row_index: Tensor, n_samples: int) -> Tensor:
    """The mean of each sample's rows.

    Args:
        values: Shape (rows, …).
        row_index: The sample of each row, shape (rows,).
        n_samples: Number of samples; the mean of one without rows is 0.

    Returns:
        Shape (n_samples, …), floating point.
    """
    if not values.is_floating_point():
        values = values.float()
    index = row_index.to(values.device)
    sums = values.new_zeros(n_samples, *values.shape[1:]).index_add(0, index, values)
    counts = torch.bincount(index, minlength=n_samples).clamp(min=1).to(values.dtype)
    return sums / counts.view(-1, *[1] * (values.ndim - 1))


def input_rows(batch: Batch) -> list[Tensor]:
    """The inputs of a batch with one row for each sample.

    Returns:
        One tensor of shape (n, …); or n tensors of shape (1, …), where the inputs are a list.

    Raises:
        ValueError: The rows of the inputs are neither the samples nor parts of them.
    """
    if isinstance(batch.inputs, list):
        return [image.unsqueeze(0) for image in batch.inputs]
    if batch.is_single and batch.row_index is None:
        return [batch.inputs.unsqueeze(0)]
    rows = sample_rows(batch.inputs, batch)
    if rows is None:
        raise ValueError(
            f"probe: found inputs of shape {tuple(batch.inputs.shape)} for {len(batch)} samples; their first axis must "
            "be that of the samples. Pass `forward_fn=` an object whose method `inputs(batch)` returns such a tensor."
        )
    return [rows]


def resize_rows(rows: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Rows of another size, averaged to a given one; non-negative values stay non-negative.

    Args:
        rows: Shape (n, …).
        shape: Size of one row. Axes of equal length stay as they are, others are pooled adaptively; whole numbers,
            such as token ids, are cut instead.

    Returns:
        Rows of that size; ``rows`` itself if it has it. None where rows of two sizes cannot be compared: another
        number of axes, or a single axis, whose entries are features.

    Example:
        >>> resize_rows(torch.arange(8.0).view(1, 1, 8), (1, 4))
        tensor([[[0.5000, 2.5000, 4.5000, 6.5000]]])
    """
    sizes = tuple(rows.shape[1:])
    if sizes == shape:
        return rows
    if not is_resizable(sizes, shape, rows.is_floating_point()):
        return None
    if not rows.is_floating_point() and rows.dtype != torch.uint8:
        for axis, length in enumerate(shape, 1):
            rows = rows.narrow(axis, 0, length)
        return rows
    resized = rows if rows.dtype == torch.float64 else rows.float()
    for axis, length in enumerate(shape, 1):
        if resized.shape[axis] != length:
            lines = resized.movedim(axis, -1)
            pooled = adaptive_avg_pool1d(lines.reshape(len(rows), -1, lines.shape[-1]), length)
            resized = pooled.view(*lines.shape[:-1], length).movedim(-1, axis)
    return resized


def is_resizable(sizes: tuple[int, ...], shape: tuple[int, ...], is_floating_point: bool) -> bool:
    """Whether `resize_rows` can average, or cut, rows of one size to another."""
    if len(sizes) != len(shape) or 0 in sizes:
        return False
    if not is_floating_point and len(shape) == 1:
        return sizes[0] >= shape[0]  # token ids
    return len(shape) >= 2


def smallest_shape(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The smallest length of every axis.

    Raises:
        ValueError: The shapes have different numbers of axes.
    """
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError(
            f"probe: found inputs of different numbers of axes, {shapes[0]} and {max(shapes, key=len)} for one sample; "
            "pass a `probe=` whose samples are alike."
        )
    return tuple(map(min, zip(*shapes)))


def describe_rows(data: Any, inputs: Inputs, n_drawn: int | None) -> Batch:
    """The batch with the number of its samples, found from its tensors.

    Args:
        data: A collated batch.
        inputs: The part of it that counts as the input.
        n_drawn: Number of samples that were collated; None where it is not known.
    """
    if isinstance(inputs, list):
        return Batch(data, inputs)
    for graphs in batch_objects(data):
        is_graphs = isinstance(getattr(graphs, "num_graphs", None), int)
        if is_graphs or object_inputs(graphs) is not None:
            return _graph_batch(data, inputs, graphs)
    others = [tensor for tensor in tree_leaves(data) if tensor is not inputs]
    has_scalars_only = bool(others) and all(tensor.ndim == 0 for tensor in others)
    n_rows = len(inputs)
    if n_drawn in (None, n_rows):
        is_single = n_drawn == 1 and has_scalars_only and inputs.ndim >= 3
    elif n_drawn == 1:
        is_single = not any(tensor.ndim and len(tensor) == n_rows for tensor in others)
    else:
        is_single = has_scalars_only  # a collate function that picks one of the samples
    if is_single:
        return Batch(data, inputs, n_samples=1, is_single=True)
    return Batch(data, inputs)


def _graph_batch(data: Any, inputs: Tensor, graphs: Any) -> Batch:
    """A batch of graphs; a graph that is no batch has its nodes as samples."""
    n_graphs = getattr(graphs, "num_graphs", None)
    if n_graphs is not None:
        for store in node_stores(graphs):
            row_index = getattr(store, "batch", None)
            if isinstance(row_index, Tensor) and len(row_index) == len(inputs):
                return Batch(data, inputs, n_samples=int(n_graphs), row_index=row_index)
    return Batch(data, inputs, n_samples=len(inputs))

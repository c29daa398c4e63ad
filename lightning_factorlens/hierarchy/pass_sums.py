"""Means and extrema over positions of one layer, collected pass by pass."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.sample_rows import mean_rows
from lightning_factorlens.capture.linear_calls import LinearCall
from lightning_factorlens.capture.linear_layers import LinearLayer
from lightning_factorlens.hierarchy.call_values import (
    at_least_float32,
    grid_of,
    position_axes,
    sample_values,
    without_bias,
)
from lightning_factorlens.hierarchy.layer_vectors import LayerVectors
from lightning_factorlens.hierarchy.receptive_fields import mean_receptive_field, receptive_fields
from lightning_factorlens.results import Signals

#: Entries that are projected at once when the extrema over positions are sought.
_CHUNK = 1 << 22


@dataclass
class _Pass:
    """What the calls of one pass give.

    Attributes:
        means: Means over the positions of each call, shape (n, channels or field), on the model's device.
        n_positions: Number of positions of each call.
        maxima: Largest projection, shape (n, r).
        minima: Smallest projection, shape (n, r).
    """

    means: list[Tensor] = field(default_factory=list)
    n_positions: list[int] = field(default_factory=list)
    maxima: Tensor | None = None
    minima: Tensor | None = None

    def mean(self) -> Tensor:
        """Mean over the positions of all calls, on the CPU."""
        total = sum(self.n_positions)
        parts = [mean.cpu() * (count / total) for mean, count in zip(self.means, self.n_positions)]
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)


class LayerSums:
    """Collects the calls of one layer.

    Args:
        layer: The layer as it was called first.
        n_samples: Samples N of the probe.
        route: See `layer_signals`.
        vectors: Singular vectors, where extrema over positions are sought.
    """

    def __init__(self, layer: LinearLayer, n_samples: int, route: str, vectors: LayerVectors | None) -> None:
        self.layer = layer
        self.n_samples = n_samples
        self.route = route
        self.vectors = vectors
        self.is_field = False
        self.passes: dict[int, _Pass] = {}
        self.start = 0
        self._problem = ""

    def begin(self, start: int) -> None:
        """Prepares for the pass whose first sample has this position."""
        self.start = start
        self.passes.pop(start, None)

    def add(self, call: LinearCall, batch: Batch) -> None:
        """Adds one call for the samples of a batch."""
        if self._problem:
            return
        if call.layer.weight.groups != self.layer.weight.groups:
            self._problem = "it is called with different numbers of groups"
            return
        self.is_field = call.outputs is None or (self.route == "field" and call.inputs is not None)
        values = call.inputs if self.is_field else call.outputs
        assert values is not None
        rows = sample_values(values, batch)
        if rows is None:
            self._problem = f"it gives {len(values)} rows for a pass of {len(batch)} samples"
            return
        inputs, index = rows
        grid = grid_of(call)
        if 0 in inputs.shape or 0 in grid:
            self._problem = "its output is empty"
            return
        means = self._means(call, inputs, grid)
        if index is not None:
            means = mean_rows(means, index, len(batch))
        current = self.passes.setdefault(self.start, _Pass())
        current.means.append(means)
        current.n_positions.append(math.prod(grid))
        if self.vectors is not None:
            self._add_extrema(current, call, inputs, grid, index, len(batch))

    def problem(self) -> str:
        """Why the layer has no signals; empty if it has."""
        if self._problem:
            return self._problem
        n_filled = sum(len(done.means[0]) for done in self.passes.values())
        if n_filled != self.n_samples:
            return f"the forward pass used it for {n_filled} of {self.n_samples} samples"
        return ""

    def signals(self, vectors: LayerVectors) -> Signals:
        """The signals of all samples, in their order.

        Args:
            vectors: Singular vectors of the layer.
        """
        ordered = [self.passes[start] for start in sorted(self.passes)]
        means = torch.cat([done.mean() for done in ordered])
        columns = means.to(vectors.all.s.device, torch.float64)[..., None]
        values = vectors.of_fields(columns) if self.is_field else vectors.of_outputs(columns)
        dtype = means.dtype
        return Signals(
            self.layer.name,
            values[..., 0].to("cpu", dtype),
            vectors.s,
            vectors.group,
            maxima=_joined([done.maxima for done in ordered], dtype),
            minima=_joined([done.minima for done in ordered], dtype),
            subspace=vectors.subspace,
        )

    def _means(self, call: LinearCall, values: Tensor, grid: tuple[int, ...]) -> Tensor:
        """Means over positions of the receptive fields or of the outputs without bias, in float32 or float64."""
        if self.is_field:
            return mean_receptive_field(call.layer, at_least_float32(values), grid).flatten(1)
        dtype = torch.float64 if values.dtype == torch.float64 else torch.float32
        axes = position_axes(call.layer, values)
        means = values.mean(axes, dtype=dtype) if axes else values.to(dtype)
        return means if call.layer.bias is None else means - call.layer.bias.to(means)

    def _add_extrema(
        self,
        current: _Pass,
        call: LinearCall,
        values: Tensor,
        grid: tuple[int, ...],
        index: Tensor | None,
        n_samples: int,
    ) -> None:
        """Projects every position, some samples at a time."""
        assert self.vectors is not None
        size = max(1, _CHUNK // max(1, math.prod(grid) * call.layer.weight.weight.shape[0]))
        maxima, minima = [], []
        for part in values.split(size):
            if self.is_field:
                fields = receptive_fields(call.layer, at_least_float32(part), grid)
                signals = self.vectors.of_fields(fields.flatten(1, 2))
            else:
                signals = self.vectors.of_outputs(without_bias(call.layer, part))
            maxima.append(signals.amax(2))
            minima.append(signals.amin(2))
        largest, smallest = torch.cat(maxima), torch.cat(minima)
        if index is not None:
            largest = _reduce_rows(largest, index, n_samples, "amax")
            smallest = _reduce_rows(smallest, index, n_samples, "amin")
        if current.maxima is not None and current.minima is not None:
            largest, smallest = torch.maximum(largest, current.maxima), torch.minimum(smallest, current.minima)
        current.maxima, current.minima = largest, smallest


def _reduce_rows(values: Tensor, index: Tensor, n_samples: int, reduce: str) -> Tensor:
    """The largest or smallest value of each sample's rows."""
    empty = values.new_zeros(n_samples, values.shape[1])
    return empty.index_reduce_(0, index, values, reduce, include_self=False)


def _joined(parts: list[Tensor | None], dtype: torch.dtype) -> Tensor | None:
    present = [part.to("cpu", dtype) for part in parts if part is not None]
    return torch.cat(present) if present else None

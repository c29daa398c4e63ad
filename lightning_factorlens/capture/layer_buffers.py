"""Collecting one layer's outputs as a block: copied batch by batch, or kept in the autograd graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.sample_rows import resize_rows, sample_rows
from lightning_factorlens.capture.kept_features import draw_features, read_features, read_rows
from lightning_factorlens.results import Block, LayerInfo

Buffer = TypeVar("Buffer", bound="LayerBuffer")


class LayerBuffer:
    """The block of one layer, filled batch by batch with copies of its outputs.

    Args:
        layer: The layer, as traced.
        max_neurons: Largest number of its neurons, see `draw_features`.
        seed: Seed of that draw.
        n_samples: Samples N of the whole probe.
        has_equal_sizes: Whether all samples have the same size; otherwise larger outputs are averaged to the traced
            shape.
    """

    def __init__(
        self, layer: LayerInfo, max_neurons: int | None, seed: int, n_samples: int, has_equal_sizes: bool = True
    ) -> None:
        self.layer = layer
        self.n_features = torch.Size(layer.shape).numel()
        self.n_samples = n_samples
        self.has_equal_sizes = has_equal_sizes
        self.features = draw_features(layer, max_neurons, seed)
        self.samples: Tensor | None = None
        self.n_filled = 0
        self.batch: Batch | None = None
        self.start = 0
        self.n_before = 0  # rows that were filled before this batch

    def begin(self, batch: Batch, start: int) -> None:
        """Prepares for one batch; rows of an earlier try of the same batch are filled again.

        Args:
            batch: The samples of the forward pass.
            start: Position of the first of them in the probe.
        """
        if start != self.start:
            self.n_before = self.n_filled
        self.n_filled = self.n_before
        self.batch = batch
        self.start = start

    def fill(self, output: Tensor) -> Tensor | None:
        """Copies one batch's output into its rows; must be called before the next layer runs.

        Args:
            output: The layer's output for the batch.

        Returns:
            None: the forward pass goes on with the output as it is.

        Raises:
            RuntimeError: An output of another shape than in the traced forward pass.
        """
        self.keep(self.select(self.rows(output.detach())), self.start)
        return None

    def keep(self, flat: Tensor, start: int) -> None:
        """Copies the captured columns of some samples into the rows from ``start`` on."""
        if self.samples is None:
            self.samples = flat.new_empty(self.n_samples, flat.shape[1], dtype=block_dtype(flat))
        self.samples[start : start + len(flat)] = flat
        self.n_filled += len(flat)

    def rows(self, output: Tensor) -> Tensor:
        """The output with one row for each sample, shape (n, …).

        Raises:
            RuntimeError: An output of another size than in the traced forward pass.
        """
        assert self.batch is not None
        rows = sample_rows(output, self.batch)
        if rows is None:
            raise RuntimeError(
                f"layer {self.layer.name!r}: found {len(output)} rows for {len(self.batch)} samples; a captured layer "
                "must give one row for each sample. Leave it out with `layers=`."
            )
        resized = rows if self.has_equal_sizes else resize_rows(rows, self.layer.shape)
        if resized is None or resized.numel() != len(rows) * self.n_features:
            raise RuntimeError(
                f"layer {self.layer.name!r}: found an output of shape {tuple(rows.shape[1:])} for each sample, "
                f"expected {self.layer.shape} as in the traced forward pass; a captured layer must not change its "
                "shape with the data. Leave it out with `layers=`, or use a probe of equal sizes."
            )
        return resized

    def select(self, rows: Tensor) -> Tensor:
        """The captured neurons of rows of shape (n, …), shape (n, k)."""
        if self.features is None:
            return rows.flatten(1)
        self.features = self.features.to(rows.device)
        return read_features(rows, self.features)

    def block(self) -> Block:
        """The filled block.

        Raises:
            RuntimeError: The layer did not run for every sample.
        """
        if self.samples is None or self.n_filled != self.n_samples:
            raise RuntimeError(
                f"layer {self.layer.name!r}: found outputs for {self.n_filled} of {self.n_samples} samples, because "
                "the model's forward pass depends on the data. Leave the layer out with `layers=`."
            )
        sampling_factor = self.n_features / self.samples.shape[1]
        return Block(
            self.layer.name,
            "activation",
            self.samples,
            self.layer.shape,
            sampling_factor=sampling_factor,
            kept_features=self.features,
        )


class ScatteredBuffer(LayerBuffer):
    """The block of one layer, filled with rows of batches in any order."""

    def fill_rows(self, output: Tensor, batch: Batch, rows: Tensor, positions: Tensor) -> None:
        """Copies some rows of one batch's output.

        Args:
            output: The layer's output for the batch.
            batch: The samples of the forward pass.
            rows: The rows that are copied, shape (n,).
            positions: The positions in the probe to which they are copied, shape (n,).

        Raises:
            RuntimeError: An output of another shape than in the traced forward pass.
        """
        self.batch = batch
        found = self.rows(output.detach())
        if self.features is None:
            flat = found.flatten(1)[rows]
        else:
            self.features = self.features.to(found.device)
            flat = read_rows(found, rows, self.features)
        if self.samples is None:
            self.samples = flat.new_zeros(self.n_samples, flat.shape[1], dtype=block_dtype(flat))
            self.is_filled = torch.zeros(self.n_samples, dtype=torch.bool, device=flat.device)
        self.samples[positions] = flat.to(self.samples.dtype)
        self.is_filled[positions] = True

    def block(self) -> Block:
        """The filled block.

        Raises:
            RuntimeError: The layer did not run for every sample.
        """
        if self.samples is not None:
            self.n_filled = int(self.is_filled.sum())
        return super().block()


class GraphLayerBuffer(LayerBuffer):
    """The block of one layer in a single forward pass, as a node of its autograd graph.

    The rest of the forward pass is computed from the block, so that gradients with respect to it exist.
    """

    def fill(self, output: Tensor) -> Tensor | None:
        """Keeps the output of all samples.

        Args:
            output: Shape (N, …).

        Returns:
            A tensor equal to the output and computed from the block, for the rest of the forward pass. It has memory of
            its own: what overwrites it in place does not change the block.
        """
        flat = self.rows(output).flatten(1)
        if flat.numel() != output.numel():
            raise RuntimeError(
                f"layer {self.layer.name!r}: found an output of shape {tuple(output.shape)}, which is averaged "
                "over the parts of samples, or to the smallest size; gradients need a block that has all of them. "
                "Leave the layer out with `layers=`, or use a probe of equal sizes."
            )
        selected = self.select(flat)
        samples = selected.to(block_dtype(selected)).clone(memory_format=torch.contiguous_format)
        if not samples.requires_grad:  # frozen weights: the graph begins here
            samples = samples.detach().requires_grad_()
        self.samples = samples
        self.n_filled += len(samples)
        if self.features is not None:
            samples = flat.index_copy(1, self.features, samples.to(flat.dtype))
        return torch.empty_like(output, requires_grad=False).copy_(samples.view(output.shape))


def block_dtype(values: Tensor) -> torch.dtype:
    """The dtype of a block of these values: float64 stays, all else becomes float32."""
    return values.dtype if values.dtype == torch.float64 else torch.float32


def make_buffers(
    kind: type[Buffer],
    layers: Iterable[LayerInfo],
    max_neurons: int | None,
    seed: int,
    n_samples: int,
    has_equal_sizes: bool = True,
) -> dict[str, Buffer]:
    """Makes an empty buffer for each selected layer.

    Args:
        kind: Class of the buffers.
        layers: The table of layers.
        max_neurons: Largest number of neurons of each layer; None for all of them.
        seed: Seed of their draw.
        n_samples: Samples N of the whole probe.
        has_equal_sizes: Whether all samples have the same size.

    Returns:
        Buffer by the layer's name, in the order of the table.
    """
    buffers: dict[str, Buffer] = {}
    for layer in layers:
        if layer.selected:
            buffers[layer.name] = kind(layer, max_neurons, seed, n_samples, has_equal_sizes)
    return buffers


def make_blocks(buffers: Mapping[str, LayerBuffer]) -> list[Block]:
    """The blocks of the filled buffers."""
    blocks = []
    for buffer in buffers.values():
        blocks.append(buffer.block())
    return blocks

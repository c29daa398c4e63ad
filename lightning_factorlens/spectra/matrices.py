"""A layer's weight as the matrices that a mode names, and their eigenvalues."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_factorlens.capture.weights import WeightLayer
from lightning_factorlens.spectra.spectral_summary import gram_eigenvalues
from lightning_factorlens.spectra.toeplitz import circular_singular_values
from lightning_factorlens.spectra.unfolding import channel_slices, unfold_weight

Mode = Literal["w1", "slices", "w2"]
#: Pixels on each axis of what enters a convolution: one number for all, or by layer.
Sizes = int | Mapping[str, int | Sequence[int]]

_BATCH = 1 << 25  # entries of one eigenvalue call: 256 MiB in float64


def matrices(layer: WeightLayer, mode: str) -> Tensor:
    """The weight's W1, one matrix a group, or its channel slices, one a kernel tap: shape (b, rows, columns)."""
    if mode == "slices":
        return channel_slices(layer.weight, transposed=layer.transposed)
    return unfold_weight(layer.weight, groups=layer.groups, transposed=layer.transposed)


def matrix_shape(layer: WeightLayer, mode: str) -> tuple[int, ...]:
    """Shape of each of those matrices, also of a weight without values; () when it has no shape yet."""
    if nn.parameter.is_lazy(layer.weight):
        return ()
    first, second, *kernel = layer.weight.shape
    if mode == "slices":
        return (second, first) if layer.transposed else (first, second)
    taps, per_group = math.prod(kernel), first // layer.groups
    return (second, per_group * taps) if layer.transposed else (per_group, second * taps)


def pooled_eigenvalues(by_layer: Mapping[int, Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Yields (layer, σ² of all its matrices, ascending, on the CPU); equal shapes share a call."""
    alike: dict[object, list[int]] = defaultdict(list)
    for i, X in by_layer.items():
        alike[X.shape[1:], X.dtype, X.device].append(i)
    for members in alike.values():
        step = max(1, _BATCH // max(1, *(by_layer[i].numel() for i in members)))
        for batch in (members[at : at + step] for at in range(0, len(members), step)):
            pooled = gram_eigenvalues(torch.cat([by_layer[i] for i in batch])).cpu()
            sizes = [by_layer[i].shape[0] for i in batch]
            yield from zip(batch, (part.flatten().sort().values for part in pooled.split(sizes)))


def input_size(layer: WeightLayer, sizes: Sizes | None) -> tuple[tuple[int, ...], str]:
    """The image that W2 of a convolution acts on, and why there is none; one of the two is empty."""
    axes = len(layer.stride)
    size = sizes.get(layer.name) if isinstance(sizes, Mapping) else sizes
    if size is None:
        return (), "W2 needs the size of the layer's input: name it in sizes"
    m = (size,) * axes if isinstance(size, int) else tuple(size)
    if len(m) != axes or any(a < 1 for a in m):
        return (), f"W2 needs {axes} positive numbers as the size of the layer's input, found {size!r}"
    if any(a % s for a, s in zip(m, layer.stride)):
        return (), f"stride {layer.stride} does not divide the size {m}: W2 by Fourier needs that"
    return m, ""


def operator_eigenvalues(layer: WeightLayer, size: tuple[int, ...]) -> tuple[tuple[int, ...], Tensor]:
    """Shape of W2 of one group, circular padding, and σ² of all groups, ascending, float64, on the CPU.

    W2 of a transposed convolution is the transpose of the plain one's with its weight, so ``size`` is then the
    size of its output.
    """
    weight = layer.weight.cpu() if layer.weight.device.type == "mps" else layer.weight
    values = circular_singular_values(weight, size, stride=layer.stride, dilation=layer.dilation, groups=layer.groups)
    out = math.prod(m // s for m, s in zip(size, layer.stride))
    shape = (weight.shape[0] // layer.groups * out, weight.shape[1] * math.prod(size))
    return (shape[::-1] if layer.transposed else shape), values.square().cpu()

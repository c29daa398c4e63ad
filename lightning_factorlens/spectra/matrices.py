"""A layer's weight as the matrices of a mode, and the eigenvalues of these matrices."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_factorlens.capture.weights import WeightLayer
from lightning_factorlens.linalg.unfolding import channel_slices, unfold_weight
from lightning_factorlens.spectra.spectral_summary import squared_singular_values
from lightning_factorlens.spectra.toeplitz import circular_singular_values

Mode = Literal["w1", "slices", "w2"]
#: Number of pixels on each axis of a convolution's input: one value for all layers, or a mapping from layer names.
Sizes = int | Mapping[str, int | Sequence[int]]

#: Entries of one eigenvalue call: layers of fewer are joined, which saves calls; larger ones are not copied.
_BATCH_ENTRIES = 1 << 18


def weight_matrices(layer: WeightLayer, mode: str) -> Tensor:
    """Returns the channel slices of a weight in mode ``"slices"``, otherwise its W1; a stack of matrices as it is.

    Args:
        layer: Layer and its weight.
        mode: Mode of the spectrum.

    Returns:
        Shape (b, rows, columns): one matrix per kernel tap, per group, or per expert.

    Example:
        >>> import torch
        >>> layer = WeightLayer("conv", "Conv2d", torch.zeros(6, 4, 3, 3), stride=(1, 1), dilation=(1, 1))
        >>> weight_matrices(layer, "w1").shape, weight_matrices(layer, "slices").shape
        (torch.Size([1, 6, 36]), torch.Size([9, 6, 4]))
    """
    if layer.is_stack:
        return layer.weight
    if mode == "slices":
        return channel_slices(layer.weight, transposed=layer.transposed)
    return unfold_weight(layer.weight, groups=layer.groups, transposed=layer.transposed)


def matrix_shape(layer: WeightLayer, mode: str) -> tuple[int, ...]:
    """Shape of each matrix of `weight_matrices`, also for a weight without values.

    Args:
        layer: Layer and its weight.
        mode: Mode of the spectrum.

    Returns:
        (rows, columns); () for a lazy weight, whose shape is not known yet.

    Example:
        >>> import torch
        >>> matrix_shape(WeightLayer("fc", "Linear", torch.empty(3, 5, device="meta")), "w1")
        (3, 5)
    """
    if nn.parameter.is_lazy(layer.weight):
        return ()
    if layer.is_stack:
        return tuple(layer.weight.shape[1:])
    first, second, *kernel = layer.weight.shape
    if mode == "slices" and layer.transposed:
        return (second, first)
    if mode == "slices":
        return (first, second)
    taps = math.prod(kernel)
    per_group = first // layer.groups
    if layer.transposed:
        return (second, per_group * taps)
    return (per_group, second * taps)


def pooled_eigenvalues(by_layer: Mapping[int, Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Computes σ² of all matrices of each layer; layers with matrices of equal shapes are computed together.

    Args:
        by_layer: Matrices of each layer, shape (b, rows, columns), by the layer's index.

    Yields:
        Index of a layer, and σ² of all its matrices, ascending, float64, on the CPU.

    Example:
        >>> import torch
        >>> dict(pooled_eigenvalues({7: torch.tensor([[[3.0]], [[2.0]]])}))
        {7: tensor([4., 9.], dtype=torch.float64)}
    """
    by_shape: dict[object, list[int]] = defaultdict(list)
    for i, matrices in by_layer.items():
        by_shape[matrices.shape[1:], matrices.dtype, matrices.device].append(i)
    for members in by_shape.values():
        largest = max(by_layer[i].numel() for i in members)
        layers_per_call = max(1, _BATCH_ENTRIES // max(1, largest))
        for first in range(0, len(members), layers_per_call):
            batch = members[first : first + layers_per_call]
            parts = [by_layer[i] for i in batch]
            joined = torch.cat(parts) if len(parts) > 1 else parts[0]
            eigenvalues = squared_singular_values(joined).cpu()
            for i, values in zip(batch, eigenvalues.split(list(map(len, parts)))):
                yield i, values.flatten().sort().values


def input_size(layer: WeightLayer, sizes: Sizes | None) -> tuple[tuple[int, ...], str]:
    """Size of the image that W2 of a convolution acts on.

    Args:
        layer: A convolution.
        sizes: Pixels on each axis, for all layers or by layer name.

    Returns:
        The size and an empty string, or an empty tuple and the reason why there is no usable size.

    Example:
        >>> import torch
        >>> layer = WeightLayer("conv", "Conv2d", torch.zeros(6, 4, 3, 3), stride=(2, 2), dilation=(1, 1))
        >>> input_size(layer, 8)
        ((8, 8), '')
        >>> input_size(layer, {"conv": 7})[1]
        'stride (2, 2) does not divide the size (7, 7): W2 by Fourier needs that'
    """
    axes = len(layer.stride)
    size = sizes.get(layer.name) if isinstance(sizes, Mapping) else sizes
    if size is None:
        return (), "W2 needs the size of the layer's input: name it in sizes"
    m = (size,) * axes if isinstance(size, int) else tuple(size)
    if len(m) != axes or min(m) < 1:
        return (), f"W2 needs {axes} positive numbers as the size of the layer's input, found {size!r}"
    if any(pixels % step for pixels, step in zip(m, layer.stride)):
        return (), f"stride {layer.stride} does not divide the size {m}: W2 by Fourier needs that"
    return m, ""


def operator_eigenvalues(layer: WeightLayer, size: tuple[int, ...]) -> tuple[tuple[int, ...], Tensor]:
    """σ² of W2, the operator of a convolution on whole images with circular padding.

    W2 of a transposed convolution is the transpose of W2 of the convolution with the same weight. ``size`` is
    therefore the size of its output.

    Args:
        layer: A convolution.
        size: Pixels on each axis of the input.

    Returns:
        Shape of W2 of one group, and σ² of all groups, ascending, float64, on the CPU.

    Example:
        >>> import torch
        >>> layer = WeightLayer("conv", "Conv1d", torch.ones(1, 1, 1), stride=(1,), dilation=(1,))
        >>> operator_eigenvalues(layer, (3,))
        ((3, 3), tensor([1., 1., 1.], dtype=torch.float64))
    """
    weight = layer.weight
    if weight.device.type == "mps":  # has neither float64 nor complex numbers
        weight = weight.cpu()
    values = circular_singular_values(weight, size, stride=layer.stride, dilation=layer.dilation, groups=layer.groups)
    output_pixels = math.prod(pixels // step for pixels, step in zip(size, layer.stride))
    rows = weight.shape[0] // layer.groups * output_pixels
    columns = weight.shape[1] * math.prod(size)
    eigenvalues = values.square().cpu()
    if layer.transposed:
        return (columns, rows), eigenvalues
    return (rows, columns), eigenvalues

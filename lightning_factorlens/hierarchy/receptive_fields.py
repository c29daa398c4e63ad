"""The receptive fields Ψ of a layer, and their mean over positions, which needs no Ψ.

Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights: A CNN interpretability
framework", eq. 7 and 8, for any stride, padding, dilation and number of groups and axes.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from lightning_factorlens.capture.linear_layers import LinearLayer


def receptive_fields(layer: LinearLayer, inputs: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Ψ: the flattened receptive field of every position of the layer's output.

    Args:
        layer: The layer, with its geometry.
        inputs: What the weight is applied to, shape (N, c, …) for a convolution and (N, …, c) for a linear layer.
        grid: Shape of the layer's output without samples and channels.

    Returns:
        Shape (N, groups, c/groups·∏k, positions): ``unfold_weight(weight) @ Ψ`` is the layer's output without bias.

    Example:
        >>> import torch
        >>> from lightning_factorlens.capture.linear_layers import linear_layers
        >>> (layer,) = linear_layers(torch.nn.Conv1d(2, 3, 2, bias=False))
        >>> x = torch.rand(5, 2, 4)
        >>> field = receptive_fields(layer, x, (3,))
        >>> field.shape, torch.allclose(layer.weight.weight.flatten(1) @ field[:, 0], layer.module(x))
        (torch.Size([5, 1, 4, 3]), True)
    """
    if not layer.weight.stride:
        return inputs.flatten(1, -2).mT.unsqueeze(1) if inputs.ndim > 2 else inputs[:, None, :, None]
    windows = _windows(layer, inputs, grid)
    n_axes = len(grid)
    fields = windows.movedim(tuple(range(2, 2 + n_axes)), tuple(range(-n_axes, 0)))
    per_group = fields.reshape(len(inputs), layer.weight.groups, -1, *grid)
    return per_group.flatten(3)


def mean_receptive_field(layer: LinearLayer, inputs: Tensor, grid: tuple[int, ...]) -> Tensor:
    """The mean of Ψ over positions, from strided means of the input along one axis after the other.

    Args:
        layer: See `receptive_fields`.
        inputs: See `receptive_fields`.
        grid: See `receptive_fields`.

    Returns:
        Shape (N, groups, c/groups·∏k).

    Example:
        >>> import torch
        >>> from lightning_factorlens.capture.linear_layers import linear_layers
        >>> (layer,) = linear_layers(torch.nn.Conv2d(4, 6, 3, stride=2, groups=2))
        >>> x = torch.rand(5, 4, 9, 9)
        >>> mean = receptive_fields(layer, x, (4, 4)).mean(3)
        >>> torch.allclose(mean_receptive_field(layer, x, (4, 4)), mean)
        True
    """
    if not layer.weight.stride:
        return inputs.flatten(1, -2).mean(1).unsqueeze(1) if inputs.ndim > 2 else inputs.unsqueeze(1)
    mean = padded_inputs(layer, inputs, grid)
    for axis in range(len(grid)):
        mean = _windows_along(layer, mean, axis, 2).mean(2)  # the taps of this axis are now the last axis
    return mean.reshape(len(inputs), layer.weight.groups, -1)


def padded_inputs(layer: LinearLayer, inputs: Tensor, grid: tuple[int, ...]) -> Tensor:
    """The input of a convolution with its padding; of a transposed one, with zeros between its entries as well.

    Args:
        layer: A convolution.
        inputs: Shape (N, c, …).
        grid: Shape of the layer's output without samples and channels.
    """
    padding: list[int] = []
    if not layer.weight.transposed:
        for before, after in reversed(layer.padding):
            padding += [before, after]
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        return F.pad(inputs, padding, mode=mode) if any(padding) else inputs
    spread = _spread(inputs, layer.weight.stride)
    kernel = layer.weight.weight.shape[2:]
    for axis in reversed(range(len(grid))):
        reach = layer.weight.dilation[axis] * (kernel[axis] - 1)
        before = reach - layer.padding[axis][0]
        padding += [before, grid[axis] + reach - before - spread.shape[2 + axis]]
    return F.pad(spread, padding)


def _spread(inputs: Tensor, stride: tuple[int, ...]) -> Tensor:
    """The input with stride − 1 zeros between its entries."""
    lengths = []
    for length, step in zip(inputs.shape[2:], stride):
        lengths.append((length - 1) * step + 1)
    spread = inputs.new_zeros(*inputs.shape[:2], *lengths)
    every_other: Any = (..., *[slice(None, None, step) for step in stride])
    spread[every_other] = inputs
    return spread


def _windows(layer: LinearLayer, inputs: Tensor, grid: tuple[int, ...]) -> Tensor:
    """All windows as a view, shape (N, c, *grid, *k)."""
    windows = padded_inputs(layer, inputs, grid)
    for axis in range(len(grid)):
        windows = _windows_along(layer, windows, axis, 2 + axis)
    return windows


def _windows_along(layer: LinearLayer, values: Tensor, axis: int, position: int) -> Tensor:
    """The windows along one axis of the kernel; its taps become the last axis.

    Args:
        layer: A convolution.
        values: Padded input.
        axis: Axis of the kernel.
        position: Axis of ``values``.
    """
    kernel = layer.weight.weight.shape[2 + axis]
    step = layer.weight.dilation[axis]
    stride = 1 if layer.weight.transposed else layer.weight.stride[axis]
    taps = values.unfold(position, step * (kernel - 1) + 1, stride)[..., ::step]
    return taps.flip(-1) if layer.weight.transposed else taps

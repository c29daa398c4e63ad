"""Filters and dense weights as images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_factorlens._validation import check_positions
from lightning_factorlens.capture.parameter_values import check_parameter_values
from lightning_factorlens.capture.weights import WeightLayer, weight_layers
from lightning_factorlens.results.unit_pictures import WeightPictures


def weight_pictures(
    model: nn.Module, layer: str, units: Sequence[int] | None = None, shape: Sequence[int] | None = None
) -> WeightPictures:
    """The weights of the units of a layer as images.

    Gulati et al. (2017), section 0.1.4. A filter has one image for each of its input channels; the slices of a filter
    with three axes count as channels, and one with one axis is an image one pixel high.

    Args:
        model: The model.
        layer: Name of a convolution or linear layer, as in `capture.weights.weight_layers`.
        units: Output channels; None for all.
        shape: Shape (C, H, W) or (H, W) of the inputs that a linear layer's weights belong to, such as that of the maps
            before they are flattened. Unless given, the weights fill an image that is nearly square in their order.

    Returns:
        The pictures.

    Raises:
        ValueError: An unknown layer or unit, or a shape that does not fit.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, (5, 3)), nn.Flatten(), nn.Linear(48, 2))
        >>> weight_pictures(model, "0").pictures.shape, weight_pictures(model, "2", shape=(8, 3, 2)).pictures.shape
        (torch.Size([8, 3, 5, 3]), torch.Size([2, 8, 3, 2]))
    """
    found = {weights.name: weights for weights in weight_layers(model)}
    if layer not in found:
        raise ValueError(f"layer: no weights are named {layer!r}; there are {', '.join(map(repr, found))}.")
    weights = found[layer]
    if weights.is_stack:
        raise ValueError(f"layer: the weights of {layer!r} are no filters of single units; choose another layer.")
    check_parameter_values(model)
    if shape is not None and weights.stride:
        raise ValueError(f"shape: {layer!r} is a convolution, whose filters have a shape of their own; leave it out.")
    rows = _units_first(weights).detach().float().cpu()
    pictures = _filters(rows) if weights.stride else _dense(rows, shape)
    chosen = check_positions("units", range(len(rows)) if units is None else units, len(rows), f"units of {layer!r}")
    return WeightPictures(layer, tuple(chosen), pictures[chosen])


def _units_first(weights: WeightLayer) -> Tensor:
    """The weight with the output channels on axis 0 and the input channels of a group on axis 1."""
    weight = weights.weight
    if not weights.transposed:
        return weight
    return weight.unflatten(0, (weights.groups, -1)).transpose(1, 2).flatten(0, 1)


def _filters(rows: Tensor) -> Tensor:
    """Filters with any number of axes, shape (units, channels, height, width)."""
    if rows.ndim == 3:
        return rows[:, :, None]
    return rows.flatten(1, rows.ndim - 3)


def _dense(rows: Tensor, shape: Sequence[int] | None) -> Tensor:
    """The weights of a linear layer, shape (units, channels, height, width)."""
    n_weights = rows.shape[1]
    if shape is None:
        width = math.ceil(math.sqrt(n_weights))
        height = -(-n_weights // width)
        pictures = torch.full((len(rows), height * width), torch.nan)
        pictures[:, :n_weights] = rows
        return pictures.view(len(rows), 1, height, width)
    if len(shape) not in (2, 3) or math.prod(shape) != n_weights or min(shape) < 1:
        raise ValueError(
            f"shape: must be (C, H, W) or (H, W) of {n_weights} inputs, found {tuple(shape)}; give the shape of the "
            "maps before they are flattened."
        )
    return rows.view(len(rows), *[1] * (3 - len(shape)), *shape)

"""How a function that applies a weight is called: its geometry, and its tensors with a batch axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from lightning_factorlens.capture.linear_layers import LinearLayer, resolve_padding

_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
#: Functions that apply a weight → names of their arguments.
SIGNATURES: dict[Callable[..., Any], tuple[str, ...]] = {
    F.linear: ("input", "weight", "bias"),
    F.conv1d: _CONVOLUTION,
    F.conv2d: _CONVOLUTION,
    F.conv3d: _CONVOLUTION,
    F.conv_transpose1d: _TRANSPOSED,
    F.conv_transpose2d: _TRANSPOSED,
    F.conv_transpose3d: _TRANSPOSED,
}


def with_geometry(layer: LinearLayer, given: dict[str, Any]) -> LinearLayer:
    """The layer as a function is called: with the stride, padding, dilation, groups and bias that it is given.

    Args:
        layer: The layer.
        given: Arguments of ``F.linear`` or of a convolution, by name.
    """
    bias = given.get("bias")
    layer = replace(layer, bias=None if bias is None else bias.detach())
    n_axes = given["weight"].ndim - 2
    if not n_axes:
        return layer
    dilation = _per_axis(given.get("dilation", 1), n_axes)
    weight = replace(
        layer.weight,
        stride=_per_axis(given.get("stride", 1), n_axes),
        dilation=dilation,
        groups=int(given.get("groups", 1)),
    )
    padding = resolve_padding(given.get("padding", 0), tuple(given["weight"].shape[2:]), dilation)
    output_padding = _per_axis(given.get("output_padding", 0), n_axes) if weight.transposed else ()
    return replace(layer, weight=weight, padding=padding, padding_mode="zeros", output_padding=output_padding)


def are_equal(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two calls have the same tensors, and equal numbers and words, under the same names."""
    return first.keys() == second.keys() and all(_is_same(first[name], second[name]) for name in first)


def with_batch_axis(tensor: Tensor | None, layer: LinearLayer, transpose: bool) -> Tensor | None:
    """A tensor without its graph, with the samples as the first axis; ``transpose`` where they are the second one."""
    if tensor is None:
        return None
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    n_axes = 2 + len(layer.weight.stride) if layer.weight.stride else 2
    if tensor.ndim < n_axes:
        return tensor.unsqueeze(0)
    return tensor.transpose(0, 1) if transpose and tensor.ndim > 2 else tensor


def _is_same(first: Any, second: Any) -> bool:
    """Whether two arguments are the same tensor, or equal numbers or words."""
    if isinstance(first, Tensor) or isinstance(second, Tensor):
        return first is second
    return bool(first == second)


def _per_axis(value: Any, n_axes: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * n_axes
    values = tuple(int(entry) for entry in value)
    return values * n_axes if len(values) == 1 else values

"""The bias of a layer, which an adapter may change and an attention holds for three projections."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens.capture.adapters import may_adapt
from lightning_factorlens.capture.weights import WeightLayer
from lightning_factorlens.isolation.isolation import isolate_model


def projection_bias(attention: nn.MultiheadAttention, weight: WeightLayer) -> Tensor | None:
    """The bias of the queries, keys or values of an attention, shape (d,)."""
    if attention.in_proj_bias is None:
        return None
    return attention.in_proj_bias.detach().chunk(3)["qkv".index(weight.name[-1])]


def layer_bias(module: nn.Module, base: Any, weight: WeightLayer) -> Tensor | None:
    """The bias of a layer, shape (d,), detached; None where there is none.

    Args:
        module: The layer; of an adapter the wrapper.
        base: The layer itself; of an adapter the one that it wraps.
        weight: The layer's weight.
    """
    if may_adapt(module) and not weight.stride:
        bias = _output_of_zero(module, weight)  # an adapter may change the bias as well
    else:
        found = getattr(base, "bias", None)
        bias = found() if callable(found) else found
    return bias.detach() if isinstance(bias, Tensor) else None


def _output_of_zero(module: nn.Module, weight: WeightLayer) -> Tensor | None:
    """What a wrapper around a linear layer gives for an input of zeros."""
    zero = weight.weight.new_zeros(1, weight.weight.shape[1])
    with isolate_model(module), torch.autocast(zero.device.type, enabled=False):
        output: Tensor = module(zero)
    return output[0] if output.any() else None

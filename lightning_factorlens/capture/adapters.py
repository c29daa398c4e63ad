"""The effective weight of a layer that an adapter changes: LoRA, DoRA, IA³ and every other adapter that is linear.

Hu et al. (2022), "LoRA: Low-rank adaptation of large language models". Whatever an adapter computes, as long as the
whole is linear in its input, the rows of W are the differences wrapper(e_i) − wrapper(0) for unit vectors e_i.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lightning_factorlens._private_api.modules import ConvolutionBase
from lightning_factorlens.isolation.isolation import isolate_model

#: Unit vectors that pass through a wrapper together.
ROWS = 1024
#: Largest deviation from linearity, relative to the largest output.
TOLERANCE = 1e-2


@dataclass(frozen=True)
class Adapted:
    """A wrapper around a layer.

    Attributes:
        base: The layer whose weight is adapted.
        weight: The effective weight, of the shape of the layer's.
    """

    base: nn.Module
    weight: Tensor


def adapted_layer(module: nn.Module) -> Adapted | None:
    """The layer that a module adapts, and its effective weight.

    Recognised are: a module with a layer called ``base_layer``, as peft makes them; a subclass of ``nn.Linear`` with a
    frozen weight and trainable parameters of its own, as loralib makes them; and a module around one frozen linear
    layer whose other parameters are fewer, and which is linear as a whole.

    Args:
        module: Any module; it is left as found.

    Returns:
        The layer and the weight; None for a module that is no such wrapper, or whose adapter is not linear.

    Example:
        >>> class Adapter(nn.Module):
        ...     def __init__(self, base):
        ...         super().__init__()
        ...         self.base = base.requires_grad_(False)
        ...         self.down, self.up = nn.Linear(8, 1, bias=False), nn.Linear(1, 8, bias=False)
        ...     def forward(self, x):
        ...         return self.base(x) + self.up(self.down(x))
        >>> adapter = Adapter(nn.Linear(8, 8))
        >>> merged = adapter.base.weight + adapter.up.weight @ adapter.down.weight
        >>> torch.allclose(adapted_layer(adapter).weight, merged, atol=1e-6)
        True
    """
    base = _base_layer(module)
    if base is None:
        return None
    if isinstance(base, ConvolutionBase):
        return Adapted(base, base.weight.detach() + sum(_convolution_deltas(module)))
    try:
        weight = _effective_weight(module, base)
    except Exception:  # it does not take one tensor of the layer's inputs, so it is no wrapper of that layer
        return None
    return None if weight is None else Adapted(base, weight)


def may_adapt(module: nn.Module) -> bool:
    """Whether a module has the parts of a wrapper around a layer, see `adapted_layer`; its values are not read.

    Example:
        >>> may_adapt(nn.Linear(3, 2))
        False
    """
    return _base_layer(module) is not None


def _base_layer(module: nn.Module) -> Any:
    """The layer that a module could adapt."""
    layer: Any = getattr(module, "base_layer", None)
    if isinstance(layer, nn.Module):
        while isinstance(getattr(layer, "base_layer", None), nn.Module):  # an adapter around another one
            layer = layer.base_layer
        has_deltas = isinstance(layer, ConvolutionBase) and hasattr(module, "get_delta_weight")
        return layer if isinstance(layer, nn.Linear) or has_deltas else None
    if isinstance(module, nn.Linear):
        has_own_forward = type(module).forward is not nn.Linear.forward
        return module if has_own_forward and _is_frozen(module) and _n_other(module, module) else None
    if type(module).__module__.startswith("torch.nn."):
        return None  # a container of layers
    frozen = []
    for child in module.children():
        if isinstance(child, nn.Linear) and _is_frozen(child):
            frozen.append(child)
    if len(frozen) == 1 and 0 < _n_other(module, frozen[0]) < frozen[0].weight.numel():
        return frozen[0]
    return None


def _is_frozen(layer: nn.Linear) -> bool:
    """Whether a layer has a frozen weight with values; one that is parametrised is computed at each access."""
    if parametrize.is_parametrized(layer, "weight"):
        return False
    weight = layer.weight
    return not weight.requires_grad and not weight.is_meta and not nn.parameter.is_lazy(weight)


def _n_other(module: nn.Module, base: Any) -> int:
    """Number of parameters that belong to the adapter and not to the layer, if one of them is trained; otherwise 0."""
    own = {id(base.weight), id(base.bias)}
    others = [parameter for parameter in module.parameters() if id(parameter) not in own]
    if not any(parameter.requires_grad for parameter in others):
        return 0
    return sum(parameter.numel() for parameter in others)


def _convolution_deltas(module: nn.Module) -> Iterator[Tensor]:
    """What the active adapters of a convolution of peft add to its weight."""
    wrapper: Any = module
    if wrapper.disable_adapters or wrapper.merged:
        return
    for name in wrapper.active_adapters:
        if name in getattr(wrapper, "lora_A", (name,)):
            yield wrapper.get_delta_weight(name).detach()


def _effective_weight(module: nn.Module, base: Any) -> Tensor | None:
    """Sends the unit vectors through a wrapper; None where it is not linear or has outputs of another size."""
    n_inputs, n_outputs = base.in_features, base.out_features
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    device = next(module.parameters()).device
    with isolate_model(module), torch.autocast(device.type, enabled=False):
        if base.bias is not None:
            base.bias = None  # nothing is then rounded when the output of zero is subtracted
        zero = module(torch.zeros(1, n_inputs, dtype=dtype, device=device))
        if zero.shape != (1, n_outputs):
            return None
        rows = []
        for start in range(0, n_inputs, ROWS):
            stop = min(start + ROWS, n_inputs)
            units = torch.zeros(stop - start, n_inputs, dtype=dtype, device=device)
            units[:, start:stop].fill_diagonal_(1)
            rows.append(module(units) - zero)
        weight = torch.cat(rows).T.contiguous()
        sample = torch.linspace(-1, 1, n_inputs, dtype=dtype, device=device)[None]
        expected = sample @ weight.T
        deviation = (module(sample) - zero - expected).abs().max()
    scale = expected.abs().max() + weight.abs().max()
    return weight.detach() if bool(deviation <= TOLERANCE * scale) else None

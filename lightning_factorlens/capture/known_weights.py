"""The layers of a model by the tensors that functions receive as weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lightning_factorlens._private_api.tensors import tensor_base
from lightning_factorlens._private_api.wrapped_modules import unwrapped_path
from lightning_factorlens.capture.linear_layers import FoundLayers, LinearLayer
from lightning_factorlens.capture.module_names import layer_class
from lightning_factorlens.capture.weights import WeightLayer

#: Relative difference up to which a weight that is computed at each access counts as the one that was listed.
_SAME = 1e-4


class KnownWeights:
    """Finds the layer that a weight belongs to.

    Args:
        model: The model.
        found: Its layers.
    """

    def __init__(self, model: nn.Module, found: FoundLayers) -> None:
        self.hooked = {layer.name for layer in found.layers if _is_hooked(layer)}
        self._by_weight = {id(layer.module.weight): layer for layer in found.layers if _applies_parameter(layer)}
        self._projections = {layer.name: layer for layer in found.projections}
        self._attentions = {id(_in_projection(layer)): layer for layer in found.projections}
        self._names = {}
        for name, parameter in model.named_parameters():
            if not nn.parameter.is_lazy(parameter) and not parameter.is_meta:  # those have no values of their own
                self._names[id(parameter)] = unwrapped_path(name)

    def layer(self, weight: Any) -> LinearLayer | None:
        """The layer whose parameter a weight is."""
        return self._by_weight.get(id(weight))

    def viewed(self, tensor: Tensor) -> LinearLayer | None:
        """The layer whose parameter a tensor is, or is a view of."""
        return self.layer(tensor) or self.layer(tensor_base(tensor))

    def projection(self, weight: Any, letter: str) -> LinearLayer | None:
        """The projection of an attention.

        Args:
            weight: The parameter that holds it, alone or with the others.
            letter: ``"q"``, ``"k"`` or ``"v"``.
        """
        found = self._attentions.get(id(weight))
        return None if found is None else self._projections[f"{found.name[:-1]}{letter}"]

    def unlisted(self, weight: Tensor, given: dict[str, Any]) -> LinearLayer | None:
        """A layer for a parameter of the model that no layer has, and that a function is called with."""
        if id(weight) not in self._names:
            return None
        name = self._names[id(weight)].removesuffix(".weight")
        groups = int(given.get("groups", 1))
        described = WeightLayer(name, "functional", weight.detach(), groups, "output_padding" in given)
        return LinearLayer(name, "", nn.Identity(), described)

    def needs_hooks(self, layer: LinearLayer) -> bool:
        """Whether its calls are not certain to be recognised by the parameter that they receive."""
        is_plain = layer_class(layer.module).__module__.startswith("torch.nn.modules")
        return not (is_plain and id(layer.module.weight) in self._by_weight)


def has_weight(layer: LinearLayer, weight: Tensor) -> bool:
    """Whether a weight that was computed for a call is that of the layer, but for rounding."""
    expected = layer.weight.weight
    return weight.shape == expected.shape and _is_close(weight, expected)


def _applies_parameter(layer: LinearLayer) -> bool:
    """Whether the layer's weight is the module's parameter itself."""
    if parametrize.is_parametrized(layer.module, "weight"):
        return False
    parameter = getattr(layer.module, "weight", None)
    if not isinstance(parameter, Tensor) or parameter.layout != torch.strided:
        return False
    weight = layer.weight.weight
    return parameter.data_ptr() == weight.data_ptr() and parameter.stride() == weight.stride()


def _is_hooked(layer: LinearLayer) -> bool:
    """Whether a layer is read by a hook on its module, because it applies a weight that no function receives."""
    return not _applies_parameter(layer) and not parametrize.is_parametrized(layer.module, "weight")


def _in_projection(layer: LinearLayer) -> Tensor | None:
    """The parameter of an attention that holds a projection."""
    attention: Any = layer.module
    if attention.in_proj_weight is not None:
        found: Tensor = attention.in_proj_weight
        return found
    separate: Tensor = getattr(attention, f"{layer.name[-1]}_proj_weight")
    return separate


def _is_close(weight: Tensor, expected: Tensor) -> bool:
    difference = (weight.detach().float() - expected.float()).abs().max()
    return bool(difference <= _SAME * expected.float().abs().max())

"""The weights of a model whose spectrum can be computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lightning_factorlens._private_api.compiled_modules import uncompiled_path
from lightning_factorlens._private_api.modules import ConvolutionBase
from lightning_factorlens._private_api.wrapped_modules import unwrapped_path
from lightning_factorlens.capture.adapters import adapted_layer, may_adapt
from lightning_factorlens.capture.module_names import layer_class
from lightning_factorlens.capture.sharded_parameters import sharded_parameters
from lightning_factorlens.capture.weight_parameters import other_weights
from lightning_factorlens.capture.whole_parameters import WholeParameters
from lightning_factorlens.isolation.isolation import isolate_model


@dataclass(frozen=True)
class WeightLayer:
    """The weight of a layer, detached; it shares the memory of the parameter.

    Attributes:
        name: The module's path, followed by ``.q``, ``.k`` or ``.v`` for the projections of an attention, and by the
            parameter's name where a module has several weights.
        op: Class name of the module.
        weight: Shape (d, c/groups, *k) for a convolution, (c, d/groups, *k) for a transposed one, (d, c) for a linear
            layer, (matrices, rows, columns) for a stack of experts. It may be on the meta device or an
            ``UninitializedParameter``, which has no values yet.
        groups: Groups of the convolution.
        transposed: Whether the first two axes are (in, out).
        stride: Stride of the convolution, one entry for each axis; empty for a linear layer.
        dilation: Dilation of the convolution, one entry for each axis; empty for a linear layer.
        parameters: Names of the model's parameters that the weight is computed from, those of an adapter included.
        is_trainable: Whether one of these parameters is trainable.
    """

    name: str
    op: str
    weight: Tensor
    groups: int = 1
    transposed: bool = False
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()
    is_trainable: bool = True

    def copy(self, device: str | None = None) -> WeightLayer:
        """The layer with a copy of its weight.

        Args:
            device: The device of the copy; None for that of the weight.
        """
        if nn.parameter.is_lazy(self.weight):
            return self
        return replace(self, weight=self.weight.to(device or self.weight.device, copy=True))

    def description(self) -> WeightLayer:
        """The layer with a weight that has a shape and no values."""
        return self if nn.parameter.is_lazy(self.weight) else replace(self, weight=self.weight.to("meta"))

    @property
    def is_stack(self) -> bool:
        """Whether the weight is a stack of matrices, each of which has its own spectrum, pooled for the layer."""
        return not self.stride and not nn.parameter.is_lazy(self.weight) and self.weight.ndim == 3


def weight_layers(model: nn.Module) -> list[WeightLayer]:
    """Every convolution, linear and recurrent layer, the projections of every attention, and stacks of experts.

    A weight that several modules share is listed once, under its first name. Parametrised weights are read as the
    forward pass reads them, but in eval mode, so that a spectral norm does no power iteration. Weights of PyTorch's
    quantised modules are dequantised, sparse ones made dense. A layer with an adapter, such as LoRA, is listed once,
    under the name of the wrapper, with its effective weight; see `adapted_layer`. `weight_parameters.other_weights`
    finds the weights of modules that are neither convolutions, linear layers nor attentions. Embeddings are left out:
    they are tables, not maps.

    Args:
        model: Any module. Names are those without the wrappers of ``torch.compile``, FSDP and activation checkpointing.
            All processes of a sharded model must call this together, and each gets all weights.

    Returns:
        One entry for each weight, in the order of ``named_modules()``.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
        >>> [(layer.name, layer.op, tuple(layer.weight.shape)) for layer in weight_layers(model)]
        [('0', 'Conv2d', (8, 3, 5, 5)), ('3', 'Linear', (2, 32))]
    """
    is_sharded = bool(sharded_parameters(model))
    layers = []
    for layer in iterate_weights(model):
        layers.append(layer.copy() if is_sharded else layer)
    return layers


@torch.no_grad()
def iterate_weights(model: nn.Module) -> Iterator[WeightLayer]:
    """The weights of `weight_layers`, one after the other.

    Args:
        model: As for `weight_layers`. A sharded one is gathered piece by piece, by all processes together.

    Yields:
        One entry for each weight. Where the model is sharded its values must be copied before the next one is asked
        for, because its memory is then freed.
    """
    listed: dict[tuple[int, str], object] = {}  # keeps the objects alive, so that no other one gets the id
    adapters: list[str] = []
    for path, module in WholeParameters(model, _reads_children).layers():
        if any(path.startswith(adapter) for adapter in adapters):
            continue  # a part of an adapter, such as ``lora_A``
        name = uncompiled_path(path).rstrip(".") or layer_class(module).__name__
        prefix = f"{path}." if path else ""
        # The model itself is no adapter of a layer, and calling it with unit vectors could have other effects.
        adapted = adapted_layer(module) if path or isinstance(module, nn.Linear) else None
        if adapted is not None:
            adapters.append(prefix)
            names = [parameter for parameter, _ in module.named_parameters()]
            yield _layer(module, name, adapted.weight, prefix, names, adapted.base)
            continue
        for suffix, owner, weight in _weights_of(module):
            key = (id(owner), suffix)
            if key not in listed:
                listed[key] = owner
                detached = weight if nn.parameter.is_lazy(weight) else _detach_dense(weight)
                yield _layer(module, name + suffix, detached, prefix, _parameter_names(module, owner), module)


def _layer(module: nn.Module, name: str, weight: Tensor, prefix: str, names: list[str], base: nn.Module) -> WeightLayer:
    """The record of one weight.

    Args:
        module: The module.
        name: Name of the layer.
        weight: Its weight.
        prefix: Path of the module with a dot at the end.
        names: Names, within the module, of the parameters that the weight is computed from.
        base: The module that has the geometry: the adapted layer of an adapter.
    """
    parameters = dict(module.named_parameters())
    is_trainable = any(parameters[name].requires_grad for name in names)
    full_names = tuple(prefix + unwrapped_path(name) for name in names)
    op = layer_class(module).__name__
    return WeightLayer(name, op, weight, **_geometry(base), parameters=full_names, is_trainable=is_trainable)


def _reads_children(module: nn.Module) -> bool:
    """Whether a module's weight is computed from parameters of its submodules: parametrised, or an adapter's."""
    return parametrize.is_parametrized(module) or may_adapt(module)


def _detach_dense(weight: Tensor) -> Tensor:
    """The weight without its graph; a sparse one with its zeros."""
    weight = weight.detach()
    if weight.layout != torch.strided:
        return weight.to_dense()
    return weight


def _parameter_names(module: nn.Module, owner: object) -> list[str]:
    """Names of the module's parameters that a weight is computed from.

    Args:
        module: The layer.
        owner: The weight itself where it is a parameter. Otherwise it is computed, from the originals of a
            parametrisation, or as older versions of torch do from the module's parameters other than the bias.
    """
    names = []
    for name, parameter in module.named_parameters():
        if isinstance(owner, nn.Parameter):
            is_part = parameter is owner
        elif parametrize.is_parametrized(module, "weight"):
            is_part = name.startswith("parametrizations.weight.")
        else:
            is_part = name != "bias"
        if is_part:
            names.append(name)
    return names


def _geometry(module: nn.Module) -> dict[str, Any]:
    """Groups, direction, stride and dilation of a convolution, quantised or not; nothing for other modules."""
    if not hasattr(module, "kernel_size"):
        return {}
    return {
        "groups": int(module.groups),  # type: ignore[arg-type]
        "transposed": bool(module.transposed),
        "stride": tuple(module.stride),  # type: ignore[arg-type]
        "dilation": tuple(module.dilation),  # type: ignore[arg-type]
    }


def _weights_of(module: nn.Module) -> Iterator[tuple[str, object, Tensor]]:
    """Yields the suffix of the name, the object whose identity identifies a shared weight, and the weight."""
    if isinstance(module, (ConvolutionBase, nn.Linear)):
        if parametrize.is_parametrized(module, "weight"):
            # It is computed at each access, by code of the user that may change its own state.
            with isolate_model(module):
                weight = module.weight
            yield "", module, weight  # only the module identifies it
        else:
            yield "", module.weight, module.weight
    elif isinstance(module, nn.MultiheadAttention):
        if module.in_proj_weight is None:
            yield ".q", module.q_proj_weight, module.q_proj_weight
            yield ".k", module.k_proj_weight, module.k_proj_weight
            yield ".v", module.v_proj_weight, module.v_proj_weight
        else:
            for suffix, weight in zip((".q", ".k", ".v"), module.in_proj_weight.chunk(3)):
                yield suffix, module.in_proj_weight, weight
    elif type(module).__module__.startswith("torch.ao.nn.quantized"):
        read_weight = getattr(module, "weight", None)
        if callable(read_weight):
            yield "", module, read_weight().dequantize()
    elif parametrize.is_parametrized(module):
        with isolate_model(module):
            found = list(other_weights(module))
        yield from found
    else:
        yield from other_weights(module)

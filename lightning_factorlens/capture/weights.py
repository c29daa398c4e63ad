"""The weights of a model whose spectrum can be computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lightning_factorlens._private_api import ConvolutionBase, uncompiled_path
from lightning_factorlens.capture.adapters import adapted_layer
from lightning_factorlens.capture.weight_parameters import other_weights
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
    """

    name: str
    op: str
    weight: Tensor
    groups: int = 1
    transposed: bool = False
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()

    @property
    def is_stack(self) -> bool:
        """Whether the weight is a stack of matrices, each of which has its own spectrum, pooled for the layer."""
        return not self.stride and not nn.parameter.is_lazy(self.weight) and self.weight.ndim == 3


def sharded_parameters(model: nn.Module) -> list[str]:
    """Names of the parameters that are sharded over several processes (FSDP, DTensor, DeepSpeed).

    No single process has their values; reading them is a collective operation.

    Args:
        model: Any module.

    Returns:
        The names, in the order of ``named_parameters()``; empty for a model whose parameters are whole.

    Example:
        >>> from torch import nn
        >>> sharded_parameters(nn.Linear(3, 2))
        []
    """
    is_wrapped = False
    for module in model.modules():
        is_wrapped = is_wrapped or type(module).__name__ == "FullyShardedDataParallel"
    names: list[str] = []
    for name, parameter in model.named_parameters():
        if is_wrapped or _is_sharded(parameter):
            names.append(name)
    return names


def _is_sharded(parameter: Tensor) -> bool:
    """Recognised by name, because importing the classes takes long, and DeepSpeed may not be installed."""
    is_dtensor = any(kind.__name__ == "DTensor" for kind in type(parameter).__mro__)
    return is_dtensor or hasattr(parameter, "ds_id")


@torch.no_grad()
def weight_layers(model: nn.Module) -> list[WeightLayer]:
    """Every convolution, linear and recurrent layer, the projections of every attention, and stacks of experts.

    A weight that several modules share is listed once, under its first name. Parametrised weights are read as the
    forward pass reads them, but in eval mode, so that a spectral norm does no power iteration. Weights of PyTorch's
    quantised modules are dequantised, sparse ones made dense. A layer with an adapter, such as LoRA, is listed once,
    under the name of the wrapper, with its effective weight; see `adapted_layer`. `weight_parameters.other_weights`
    finds the weights of modules that are neither convolutions, linear layers nor attentions. Embeddings are left out:
    they are tables, not maps.

    Args:
        model: Any module. Names are those without the wrappers of ``torch.compile``.

    Returns:
        One entry for each weight, in the order of ``named_modules()``.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
        >>> [(layer.name, layer.op, tuple(layer.weight.shape)) for layer in weight_layers(model)]
        [('0', 'Conv2d', (8, 3, 5, 5)), ('3', 'Linear', (2, 32))]
    """
    layers: list[WeightLayer] = []
    listed: set[tuple[int, str]] = set()
    adapters: list[str] = []
    for path, module in model.named_modules():
        if any(path.startswith(adapter) for adapter in adapters):
            continue  # a part of an adapter, such as ``lora_A``
        name = uncompiled_path(path).rstrip(".") or type(module).__name__
        prefix = f"{path}." if path else ""
        # The model itself is no adapter of a layer, and calling it with unit vectors could have other effects.
        adapted = adapted_layer(module) if path or isinstance(module, nn.Linear) else None
        if adapted is not None:
            adapters.append(prefix)
            parameters = tuple(prefix + parameter for parameter, _ in module.named_parameters())
            geometry = _geometry(adapted.base)
            layers.append(WeightLayer(name, type(module).__name__, adapted.weight, **geometry, parameters=parameters))
            continue
        for suffix, owner, weight in _weights_of(module):
            key = (id(owner), suffix)
            if key not in listed:
                listed.add(key)
                detached = weight if nn.parameter.is_lazy(weight) else _detach_dense(weight)
                parameters = tuple(prefix + parameter for parameter in _parameter_names(module, owner))
                geometry = _geometry(module)
                layers.append(
                    WeightLayer(name + suffix, type(module).__name__, detached, **geometry, parameters=parameters)
                )
    return layers


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

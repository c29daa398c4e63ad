"""The modules of a model whose output is W ⋆ X + b: convolutions and linear layers, with all that defines the map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens._private_api import ConvolutionBase, uncompiled_path
from lightning_factorlens.capture.module_names import layer_class, named_layers
from lightning_factorlens.capture.sharded_parameters import sharded_parameters
from lightning_factorlens.capture.weights import WeightLayer, weight_layers
from lightning_factorlens.isolation.isolation import isolate_model


@dataclass(frozen=True, eq=False)
class LinearLayer:
    """A module that computes W ⋆ X + b.

    Attributes:
        name: Name of the layer, as in `weight_layers`.
        path: Path of the module in the model, as in ``named_modules()``.
        module: The module. Of an adapter such as LoRA it is the wrapper.
        weight: The weight, with groups, stride, dilation, and whether the convolution is transposed.
        bias: The bias, shape (d,), detached; None where there is none.
        padding: Zeros, or other values, before and after every axis, as (before, after); empty for a linear layer. Of a
            transposed convolution it is what is cut from the output.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        output_padding: Entries that a transposed convolution adds at the end of each axis.
    """

    name: str
    path: str
    module: nn.Module
    weight: WeightLayer
    bias: Tensor | None = None
    padding: tuple[tuple[int, int], ...] = ()
    padding_mode: str = "zeros"
    output_padding: tuple[int, ...] = ()

    @property
    def channel_axis(self) -> int:
        """Axis of the input and output that holds the channels: 1 for a convolution, −1 for a linear layer."""
        return 1 if self.weight.stride else -1


@dataclass(frozen=True, eq=False)
class FoundLayers:
    """What `find_linear_layers` finds.

    Attributes:
        layers: The layers, in the order of ``named_modules()``.
        skipped: Why another weight is not among them, by the name of its layer.
    """

    layers: list[LinearLayer]
    skipped: dict[str, str]


def linear_layers(model: nn.Module) -> list[LinearLayer]:
    """The convolutions and linear layers of a model that are modules of their own and whose weights have values.

    Args:
        model: Any module; it is left as found.

    Returns:
        One entry for each weight. `find_linear_layers` also tells which weights are left out, and why.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 4, padding="same"), nn.Flatten(), nn.Linear(32, 2))
        >>> [(layer.name, layer.padding, layer.channel_axis) for layer in linear_layers(model)]
        [('0', ((1, 2), (1, 2)), 1), ('2', (), -1)]
    """
    return find_linear_layers(model).layers


@torch.no_grad()
def find_linear_layers(model: nn.Module) -> FoundLayers:
    """The layers of `linear_layers`, and the reasons why other weights are not among them.

    Args:
        model: Any module; it is left as found.

    Example:
        >>> found = find_linear_layers(nn.Sequential(nn.LazyLinear(3), nn.LSTM(3, 2)))
        >>> found.layers, list(found.skipped)
        ([], ['0', '1.weight_ih_l0', '1.weight_hh_l0'])
    """
    modules = _modules_by_name(model)
    if sharded_parameters(model):
        reason = "the model's parameters are sharded between processes; load the whole model in one process"
        return FoundLayers([], dict.fromkeys(_linear_names(modules), reason))
    layers = []
    skipped = {}
    for weight in weight_layers(model):
        path, module = modules.get(weight.name, ("", None))
        reason = _problem(weight, module)
        if module is None or reason:
            skipped[weight.name] = reason
        else:
            layers.append(_linear_layer(weight, path, module))
    listed = {layer.name for layer in layers} | set(skipped)
    for name in _linear_names(modules):
        if name not in listed and not any(name.startswith(f"{layer.name}.") for layer in layers):
            skipped[name] = "another layer has the same weight and is listed in its place"
    return FoundLayers(layers, skipped)


def _modules_by_name(model: nn.Module) -> dict[str, tuple[str, nn.Module]]:
    """Path and module by the name that `weight_layers` gives the module's weight."""
    modules = {}
    for path, module in named_layers(model):
        name = uncompiled_path(path).rstrip(".") or layer_class(module).__name__
        modules[name] = (path, module)  # of a compiled module and its wrapper the inner one, which comes second
    return modules


def _linear_names(modules: dict[str, tuple[str, nn.Module]]) -> Iterator[str]:
    for name, (_, module) in modules.items():
        if isinstance(module, (ConvolutionBase, nn.Linear)):
            yield name


def _problem(weight: WeightLayer, module: nn.Module | None) -> str:
    """Why a weight does not define W ⋆ X + b of a module; empty if it does."""
    if nn.parameter.is_lazy(weight.weight):
        return "its weight has no shape yet; run one batch through the model"
    if weight.weight.is_meta:
        return "its weight is on the meta device and has no values; materialise it"
    if weight.is_stack:
        return f"{weight.op} holds a stack of matrices and not one weight"
    if module is None:
        return f"it is one of several weights of {weight.op}, which is no module of its own"
    if not weight.weight.is_floating_point():
        return f"its weight is of dtype {weight.weight.dtype}, which has no singular value decomposition"
    if not weight.weight.numel():
        return f"its weight is empty, with shape {tuple(weight.weight.shape)}"
    return ""


def _linear_layer(weight: WeightLayer, path: str, module: nn.Module) -> LinearLayer:
    base: Any = module
    while isinstance(getattr(base, "base_layer", None), nn.Module):
        base = base.base_layer
    bias = _bias(module, base, weight)
    if not weight.stride:
        return LinearLayer(weight.name, path, module, weight, bias)
    return LinearLayer(
        weight.name,
        path,
        module,
        weight,
        bias,
        padding=_padding(base),
        padding_mode=base.padding_mode,
        output_padding=tuple(base.output_padding) if weight.transposed else (),
    )


def _bias(module: nn.Module, base: Any, weight: WeightLayer) -> Tensor | None:
    if not isinstance(module, (ConvolutionBase, nn.Linear)) and not weight.stride and not _is_quantized(module):
        bias = _output_of_zero(module, weight)  # an adapter may change the bias as well
    else:
        bias = base.bias() if callable(base.bias) else base.bias
    return None if bias is None else bias.detach()


def _is_quantized(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.ao.nn")


def _output_of_zero(module: nn.Module, weight: WeightLayer) -> Tensor | None:
    """What a wrapper around a linear layer gives for an input of zeros."""
    zero = weight.weight.new_zeros(1, weight.weight.shape[1])
    with isolate_model(module), torch.autocast(zero.device.type, enabled=False):
        output: Tensor = module(zero)
    return output[0] if output.any() else None


def _padding(module: Any) -> tuple[tuple[int, int], ...]:
    """The padding before and after every axis; of an even kernel, ``"same"`` adds one more after than before."""
    if module.padding == "valid":
        return ((0, 0),) * len(module.kernel_size)
    if module.padding != "same":
        return tuple((int(size), int(size)) for size in module.padding)
    sides = []
    for kernel, dilation in zip(module.kernel_size, module.dilation):
        total = dilation * (kernel - 1)
        sides.append((total // 2, total - total // 2))
    return tuple(sides)

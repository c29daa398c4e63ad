"""The modules of a model whose output is W ⋆ X + b: convolutions and linear layers, with all that defines the map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens._private_api.compiled_modules import uncompiled_path
from lightning_factorlens._private_api.modules import ConvolutionBase
from lightning_factorlens.capture.layer_bias import layer_bias, projection_bias
from lightning_factorlens.capture.module_names import layer_class, named_layers
from lightning_factorlens.capture.sharded_parameters import sharded_parameters
from lightning_factorlens.capture.weights import WeightLayer, weight_layers


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
        projections: Those of the queries, keys and values of ``nn.MultiheadAttention``, whose module is the attention:
            it applies them itself, and no module has their output.
        skipped: Why another weight is not among them, by the name of its layer.
    """

    layers: list[LinearLayer]
    projections: list[LinearLayer]
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
        return FoundLayers([], [], dict.fromkeys(_linear_names(modules), reason))
    layers = []
    projections = []
    skipped = {}
    for weight in weight_layers(model):
        path, module = modules.get(weight.name, ("", None))
        if module is None and weight.op == "MultiheadAttention":
            path, module = modules[weight.name.rpartition(".")[0] or weight.op]
        reason = _problem(weight, module)
        if module is None or reason:
            skipped[weight.name] = reason
        elif isinstance(module, nn.MultiheadAttention):
            projections.append(LinearLayer(weight.name, path, module, weight, projection_bias(module, weight)))
        else:
            layers.append(_linear_layer(weight, path, module))
    listed = {layer.name for layer in layers} | set(skipped)
    for name in _linear_names(modules):
        if name not in listed and not any(name.startswith(f"{layer.name}.") for layer in layers):
            skipped[name] = "another layer has the same weight and is listed in its place"
    return FoundLayers(layers, projections, skipped)


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
    if isinstance(module, nn.Bilinear):
        return "a bilinear layer has two inputs"
    if not weight.weight.is_floating_point():
        return f"its weight is of dtype {weight.weight.dtype}, which has no singular value decomposition"
    if not weight.weight.numel():
        return f"its weight is empty, with shape {tuple(weight.weight.shape)}"
    return ""


def _linear_layer(weight: WeightLayer, path: str, module: nn.Module) -> LinearLayer:
    base: Any = module
    while isinstance(getattr(base, "base_layer", None), nn.Module):
        base = base.base_layer
    bias = layer_bias(module, base, weight)
    if not weight.stride:
        return LinearLayer(weight.name, path, module, weight, bias)
    return LinearLayer(
        weight.name,
        path,
        module,
        weight,
        bias,
        padding=resolve_padding(base.padding, tuple(base.kernel_size), weight.dilation),
        padding_mode=base.padding_mode,
        output_padding=tuple(base.output_padding) if weight.transposed else (),
    )


def resolve_padding(
    padding: Any, kernel_size: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """The padding before and after every axis; of an even kernel, ``"same"`` adds one more after than before.

    Args:
        padding: A number, one for each axis, ``"same"`` or ``"valid"``, as convolutions take it.
        kernel_size: Length of every axis of the kernel.
        dilation: Dilation of every axis.

    Example:
        >>> resolve_padding("same", (4, 3), (1, 2)), resolve_padding(1, (4, 3), (1, 2))
        (((1, 2), (2, 2)), ((1, 1), (1, 1)))
    """
    if padding == "valid":
        return ((0, 0),) * len(kernel_size)
    sides = []
    for axis, (kernel, step) in enumerate(zip(kernel_size, dilation)):
        total = step * (kernel - 1)
        if padding == "same":
            sides.append((total // 2, total - total // 2))
        else:
            size = padding if isinstance(padding, int) else padding[axis % len(padding)]
            sides.append((int(size), int(size)))
    return tuple(sides)

"""Every application of a weight in a forward pass: its input, its output, and the geometry with which it was applied.

Modules and functional calls apply a weight through ``F.linear`` or a convolution of ``torch.nn.functional``, which
is where a call is read: what it received as weight and bias is then certain. Layers that use other operations, such as
quantised ones and adapters, are read by a hook on the module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from lightning_factorlens._private_api import unwrapped_path
from lightning_factorlens.capture.linear_layers import FoundLayers, LinearLayer, resolve_padding
from lightning_factorlens.capture.weights import WeightLayer

_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
#: Function → names of its arguments.
_SIGNATURES: dict[Callable[..., Any], tuple[str, ...]] = {
    F.linear: ("input", "weight", "bias"),
    F.conv1d: _CONVOLUTION,
    F.conv2d: _CONVOLUTION,
    F.conv3d: _CONVOLUTION,
    F.conv_transpose1d: _TRANSPOSED,
    F.conv_transpose2d: _TRANSPOSED,
    F.conv_transpose3d: _TRANSPOSED,
}
#: Relative difference up to which a weight that is computed at each access counts as the one that was listed.
_SAME = 1e-4


@dataclass(frozen=True, eq=False)
class LinearCall:
    """One application of a weight.

    Attributes:
        layer: The layer, with the geometry and the bias of this call: where a module pads its input by another mode
            than zeros, ``inputs`` are padded already.
        inputs: What the weight was applied to, with a batch axis; None for the output projection of an attention.
        outputs: W ⋆ X + b, with a batch axis; None for the other projections of an attention.
    """

    layer: LinearLayer
    inputs: Tensor | None
    outputs: Tensor | None


class LinearCallTracer:
    """Reports the applications of weights, and knows why a layer has none.

    Args:
        model: The model that is called.
        found: Its layers.
        on_call: Receives every call. It must copy what it keeps: the next layer may overwrite it.
    """

    def __init__(self, model: nn.Module, found: FoundLayers, on_call: Callable[[LinearCall], None]) -> None:
        self.on_call = on_call
        self.problems: dict[str, str] = {}
        self.running: list[LinearLayer] = []
        self._hooked = [layer for layer in found.layers if _is_hooked(layer)]
        self._others = [layer for layer in found.layers if not _is_hooked(layer)]
        self._by_weight = {id(layer.module.weight): layer for layer in self._others if _applies_parameter(layer)}
        self._projections = {layer.name: layer for layer in found.projections}
        self._attentions = {id(_in_projection(layer)): layer for layer in found.projections}
        self._names = {id(parameter): unwrapped_path(name) for name, parameter in model.named_parameters()}
        self._checked: set[str] = set()
        self._ran: set[str] = set()

    @contextmanager
    def trace(self) -> Iterator[None]:
        """Inside, calls are reported; no hook outlives the context, and no output is replaced."""
        handles = []
        try:
            for layer in (*self._hooked, *self._others):
                handles.append(layer.module.register_forward_pre_hook(self._pre_hook(layer)))
                handles.append(layer.module.register_forward_hook(self._post_hook(layer)))
            with _FunctionCalls(self):
                yield
        finally:
            self.running.clear()
            for handle in handles:
                handle.remove()

    def reason(self, layer: LinearLayer) -> str:
        """Why a layer has no calls."""
        if layer.name in self.problems:
            return self.problems[layer.name]
        if layer.name in self._ran:
            return "its module ran without applying the weight by F.linear or a convolution of torch.nn.functional"
        return "the forward pass does not use it"

    def _pre_hook(self, layer: LinearLayer) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            """Notes that the module runs."""
            self.running.append(layer)
            self._ran.add(layer.name)

        return hook

    def _post_hook(self, layer: LinearLayer) -> Callable[..., None]:
        def hook(_module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            """Reports the output of a module that is read as a whole."""
            self.running.pop()
            is_inner = any(_is_hooked(outer) for outer in self.running)
            if _is_hooked(layer) and not is_inner and isinstance(output, Tensor) and args:
                self._report(layer, args[0], output)

        return hook

    def function_call(self, names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Reports a call of ``F.linear`` or a convolution with a weight of the model."""
        given = dict(zip(names, args)) | kwargs
        layer = self._layer_of(given["weight"], given)
        if layer is not None:
            self._report(with_geometry(layer, given), given["input"], output)

    def attention_call(self, given: dict[str, Any], output: Any) -> None:
        """Reports the projections of a call of ``F.multi_head_attention_forward``."""
        out = self._by_weight.get(id(given["out_proj_weight"]))
        if out is not None:
            self._report(replace(out, bias=given["out_proj_bias"]), None, output[0], transpose=True)
        weights = [given["in_proj_weight"]] * 3
        if given["use_separate_proj_weight"]:
            weights = [given["q_proj_weight"], given["k_proj_weight"], given["v_proj_weight"]]
        for letter, argument, weight in zip("qkv", ("query", "key", "value"), weights):
            found = self._attentions.get(id(weight))
            if found is not None:
                layer = self._projections[f"{found.name[:-1]}{letter}"]
                self._report(layer, given[argument], None, transpose=True)

    def _layer_of(self, weight: Tensor, given: dict[str, Any]) -> LinearLayer | None:
        """The layer that a weight belongs to; None for one of another model, or inside of a hooked module."""
        if any(_is_hooked(layer) for layer in self.running):
            return None
        if id(weight) in self._by_weight:
            return self._by_weight[id(weight)]
        if id(weight) in self._names:
            return self._unlisted(weight, given)
        if not self.running:
            return None
        layer = self.running[-1]
        if layer.name not in self._checked:
            self._checked.add(layer.name)
            expected = layer.weight.weight
            if weight.shape != expected.shape or not _is_close(weight, expected):
                self.problems[layer.name] = "its forward pass applies another tensor than its weight"
        return None if layer.name in self.problems else layer

    def _unlisted(self, weight: Tensor, given: dict[str, Any]) -> LinearLayer:
        """A layer for a parameter that no layer has, and that a function is called with."""
        name = self._names[id(weight)].removesuffix(".weight")
        groups = int(given.get("groups", 1))
        described = WeightLayer(name, "functional", weight.detach(), groups, "output_padding" in given)
        return LinearLayer(name, "", nn.Identity(), described)

    def _report(
        self, layer: LinearLayer, inputs: Tensor | None, outputs: Tensor | None, transpose: bool = False
    ) -> None:
        values = []
        for tensor in (inputs, outputs):
            values.append(None if tensor is None else _with_batch_axis(tensor, layer, transpose))
        with torch.autocast(layer.weight.weight.device.type, enabled=False):
            self.on_call(LinearCall(layer, values[0], values[1]))


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


class _FunctionCalls(TorchFunctionMode):
    """Reports the calls of `_SIGNATURES` and of the attention's function."""

    def __init__(self, tracer: LinearCallTracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        output = func(*args, **options)
        if func in _SIGNATURES:
            self.tracer.function_call(_SIGNATURES[func], args, options, output)
        elif func is F.multi_head_attention_forward:
            bound = inspect.signature(func).bind(*args, **options)
            bound.apply_defaults()
            self.tracer.attention_call(bound.arguments, output)
        return output


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


def _with_batch_axis(tensor: Tensor, layer: LinearLayer, transpose: bool) -> Tensor:
    """A tensor without its graph, with the samples as the first axis; ``transpose`` where they are the second one."""
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    n_axes = 2 + len(layer.weight.stride) if layer.weight.stride else 2
    if tensor.ndim < n_axes:
        return tensor.unsqueeze(0)
    return tensor.transpose(0, 1) if transpose and tensor.ndim > 2 else tensor


def _per_axis(value: Any, n_axes: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * n_axes
    values = tuple(int(entry) for entry in value)
    return values * n_axes if len(values) == 1 else values

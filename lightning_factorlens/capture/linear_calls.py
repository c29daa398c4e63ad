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
from torch.overrides import TorchFunctionMode

from lightning_factorlens.capture.call_geometry import SIGNATURES, are_equal, with_batch_axis, with_geometry
from lightning_factorlens.capture.known_weights import KnownWeights, has_weight
from lightning_factorlens.capture.linear_layers import FoundLayers, LinearLayer


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
        self._layers = found.layers
        self._weights = KnownWeights(model, found)
        self._described: dict[str, tuple[dict[str, Any], LinearLayer]] = {}
        self._checked: set[str] = set()
        self._ran: set[str] = set()
        self._used: set[str] = set()

    @contextmanager
    def trace(self) -> Iterator[None]:
        """Inside, calls are reported; no hook outlives the context, and no output is replaced."""
        handles = []
        try:
            for layer in filter(self._weights.needs_hooks, self._layers):
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
        if layer.name in self._ran or layer.name in self._used:
            return "it is applied by another function than F.linear and the convolutions of torch.nn.functional"
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
            if (
                layer.name in self._weights.hooked
                and not self._is_inside_hooked()
                and isinstance(output, Tensor)
                and args
            ):
                self._report(layer, args[0], output)

        return hook

    def function_call(self, names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Reports a call of ``F.linear`` or a convolution with a weight of the model."""
        given = dict(zip(names, args)) | kwargs
        layer = self._layer_of(given["weight"], given)
        if layer is None:
            return
        inputs = given.pop("input")
        # Most layers are called in the same way in every pass: the description of the last call is then used again.
        last, described = self._described.get(layer.name, ({}, layer))
        if not are_equal(last, given):
            described = with_geometry(layer, given)
            self._described[layer.name] = (given, described)
        self._report(described, inputs, output)

    def attention_call(self, given: dict[str, Any], output: Any) -> None:
        """Reports the projections of a call of ``F.multi_head_attention_forward``."""
        out = self._weights.layer(given["out_proj_weight"])
        if out is not None:
            self._report(replace(out, bias=given["out_proj_bias"]), None, output[0], transpose=True)
        weights = [given["in_proj_weight"]] * 3
        if given["use_separate_proj_weight"]:
            weights = [given["q_proj_weight"], given["k_proj_weight"], given["v_proj_weight"]]
        for letter, argument, weight in zip("qkv", ("query", "key", "value"), weights):
            layer = self._weights.projection(weight, letter)
            if layer is not None:
                self._report(layer, given[argument], None, transpose=True)

    def note_use(self, args: tuple[Any, ...]) -> None:
        """Notes weights, and views of weights, that another function receives."""
        for argument in args:
            if isinstance(argument, Tensor):
                layer = self._weights.viewed(argument)
                if layer is not None:
                    self._used.add(layer.name)

    def _is_inside_hooked(self) -> bool:
        return any(layer.name in self._weights.hooked for layer in self.running)

    def _layer_of(self, weight: Tensor, given: dict[str, Any]) -> LinearLayer | None:
        """The layer that a weight belongs to; None for one of another model, or inside of a hooked module."""
        if self._is_inside_hooked():
            return None
        known = self._weights.layer(weight) or self._weights.unlisted(weight, given)
        if known is not None or not self.running:
            return known
        layer = self.running[-1]
        if layer.name not in self._checked:
            self._checked.add(layer.name)
            if not has_weight(layer, weight):
                self.problems[layer.name] = "its forward pass applies another tensor than its weight"
        return None if layer.name in self.problems else layer

    def _report(self, layer: LinearLayer, inputs: Any, outputs: Any, transpose: bool = False) -> None:
        received = with_batch_axis(inputs, layer, transpose)
        call = LinearCall(layer, received, with_batch_axis(outputs, layer, transpose))
        device = layer.weight.weight.device.type
        if not torch.is_autocast_enabled(device):
            self.on_call(call)
            return
        with torch.autocast(device, enabled=False):
            self.on_call(call)


class _FunctionCalls(TorchFunctionMode):
    """Reports the calls of `SIGNATURES` and of the attention's function."""

    def __init__(self, tracer: LinearCallTracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        output = func(*args, **options)
        if func in SIGNATURES:
            self.tracer.function_call(SIGNATURES[func], args, options, output)
        elif func is F.multi_head_attention_forward:
            bound = inspect.signature(func).bind(*args, **options)
            bound.apply_defaults()
            self.tracer.attention_call(bound.arguments, output)
        elif getattr(func, "__name__", "") != "__get__":  # reading an attribute is no use
            self.tracer.note_use(args)
        return output

"""Which weights a model has that a spectrum can be taken of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lightning_factorlens._private_api import ConvolutionBase, uncompiled_path


@dataclass(frozen=True)
class WeightLayer:
    """A layer's weight as it stands in the module, detached.

    Attributes:
        name: The module's path; ``.q``, ``.k``, ``.v`` behind it for the projections of an attention.
        op: Type of the module.
        weight: (d, c/groups, *k), (c, d/groups, *k) when transposed, (d, c) when linear. May be on the meta
            device or an ``UninitializedParameter``; whoever reads it has to look.
        groups: Groups of the convolution.
        transposed: Whether the first two axes are (in, out).
        stride: Of the convolution, an entry an axis; empty when linear.
        dilation: Likewise.
    """

    name: str
    op: str
    weight: Tensor
    groups: int = 1
    transposed: bool = False
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()


def sharded_parameters(model: nn.Module) -> list[str]:
    """Parameters that lie in pieces in several processes, by name: none has their values, reading them takes all."""
    wrapped = any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules())

    def piece(parameter: Tensor) -> bool:
        """By name: importing what makes them takes long, and DeepSpeed need not be there."""
        return hasattr(parameter, "ds_id") or any(kind.__name__ == "DTensor" for kind in type(parameter).__mro__)

    return [name for name, parameter in model.named_parameters() if wrapped or piece(parameter)]


@torch.no_grad()
def weight_layers(model: nn.Module) -> list[WeightLayer]:
    """Every convolution, transposed convolution and linear layer, and the projections of every attention.

    A weight that several modules share is listed once, under its first name. Parametrised weights are read as
    the forward pass would see them, and reading them changes nothing (a spectral norm does not iterate). Those of
    PyTorch's quantised modules are read dequantised.

    Args:
        model: Any module; wrappers of ``torch.compile`` leave no trace in the names.

    Returns:
        One entry a weight, in the order of ``named_modules()``.
    """
    layers: list[WeightLayer] = []
    seen: set[tuple[int, str]] = set()
    for path, module in model.named_modules():
        name = uncompiled_path(path).rstrip(".") or type(module).__name__
        for suffix, owner, weight in _weights_of(module):
            if (id(owner), suffix) in seen:
                continue
            seen.add((id(owner), suffix))
            layers.append(
                WeightLayer(
                    name=name + suffix,
                    op=type(module).__name__,
                    weight=weight if nn.parameter.is_lazy(weight) else weight.detach(),
                    **_geometry(module),
                )
            )
    return layers


def _geometry(module: nn.Module) -> dict[str, Any]:
    """What a convolution, quantised or not, says of itself; nothing for other modules."""
    kinds = {"groups": int, "transposed": bool, "stride": tuple, "dilation": tuple}
    return {k: kind(getattr(module, k)) for k, kind in kinds.items()} if hasattr(module, "kernel_size") else {}


def _weights_of(module: nn.Module) -> Iterator[tuple[str, object, Tensor]]:
    """Yields (suffix of the name, the object whose identity tells sharing, weight)."""
    if isinstance(module, (ConvolutionBase, nn.Linear)):
        if parametrize.is_parametrized(module, "weight"):
            with _at_rest(module.get_submodule("parametrizations.weight")):
                # Computed anew at every reading, so that only the module can say whose it is.
                yield "", module, module.weight
        else:
            yield "", module.weight, module.weight
    elif isinstance(module, nn.MultiheadAttention):
        if module.in_proj_weight is None:
            parts = owners = [module.q_proj_weight, module.k_proj_weight, module.v_proj_weight]
        else:
            parts, owners = list(module.in_proj_weight.chunk(3)), [module.in_proj_weight] * 3
        yield from zip((".q", ".k", ".v"), owners, parts)
    elif type(module).__module__.startswith("torch.ao.nn.quantized"):
        read = getattr(module, "weight", None)
        if callable(read):
            yield "", module, read().dequantize()


@contextmanager
def _at_rest(parametrization: nn.Module) -> Iterator[None]:
    """Reads as in evaluation: in training mode ``spectral_norm`` moves its vectors at every reading."""
    flags = [(part, part.training) for part in parametrization.modules()]
    for part, _ in flags:
        part.training = False
    try:
        yield
    finally:
        for part, training in flags:
            part.training = training

"""How much of an image arrives at every unit: z, the images of largest z, and the norms of the layers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.capture.linear_layers import linear_layers
from lightning_factorlens.capture.tracing import TracedCall
from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.results.node_importance import LayerImportance, NodeImportance
from lightning_factorlens.visualization.probe_pass import (
    Forward,
    bind_forward,
    check_layer,
    check_layers,
    check_no_nan,
    is_activation,
    read_calls,
    read_layers,
)
from lightning_factorlens.visualization.unit_maps import strongest_values


@dataclass(frozen=True)
class _Source:
    """A call of a convolution or linear layer: the layer's bias and the axis of its channels."""

    bias: Tensor | None
    channel_axis: int


@dataclass(frozen=True)
class _Call:
    """What is known about a call before the probe passes."""

    shape: torch.Size
    source: _Source | None
    is_activation: bool


def node_importance(
    model: nn.Module, probe: Any, layers: Collection[str] | None = None, *, forward_fn: ForwardFn | None = None
) -> NodeImportance:
    """Measures z of every unit of every convolution and linear layer, in one pass of the probe.

    Gulati et al. (2017), section 2: z(l, i, j) = ‖δ_j ∗ w_i‖_F, the Frobenius norm of what filter i makes of image j
    before bias and activation function. A layer that a model calls several times has an entry for each call. Units
    that their bias keeps from ever being active may have a large z, so that the activation is measured beside it: of
    the next activation function whose output has the layer's shape, and, where there is none, of the layer itself.

    Args:
        model: The model; it is left bit for bit as found.
        probe: N images, or a `Probe`, on the model's device.
        layers: Names of layers; None for all.
        forward_fn: ``(model, batch) → output``, see `FactorLens`; the model itself unless given.

    Returns:
        The layers in the order of the forward pass.

    Raises:
        ValueError: An unknown layer, no layer, or outputs that are NaN.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
        >>> found = node_importance(model, torch.rand(10, 1, 6, 6))
        >>> list(found.layers), found["0"].top_images(2).shape, found.layer_norms().shape
        (['0', '3'], torch.Size([4, 2]), torch.Size([10, 2]))
    """
    layers = check_layers(layers)
    samples = Probe.wrap(probe)
    forward = bind_forward(model, forward_fn)
    sources: dict[int, _Source] = {}
    for layer in linear_layers(model):
        sources[id(layer.module)] = _Source(layer.bias, layer.channel_axis)
    with isolate_model(model):
        calls = _find_calls(model, samples, sources, forward)
        names = [name for name, call in calls.items() if call.source is not None]
        for name in layers or ():
            check_layer(name, names)
        wanted = [name for name in names if layers is None or name in layers]
        followers = {name: _activation_after(name, calls) for name in wanted}
        axes = {follower: _source(calls[name]).channel_axis for name, follower in followers.items()}

        def read(name: str, output: Tensor) -> tuple[Tensor | None, Tensor | None]:
            """The z of a layer that is wanted, and the activation of a call that is needed."""
            z, activation = None, None
            if name in followers:
                z = check_no_nan(name, _norms(output, _source(calls[name])).cpu())
            if name in axes:
                activation = strongest_values(output.movedim(axes[name], 1)).float().cpu()
            return z, activation

        passes = read_layers(model, samples, {*followers, *axes}, read, forward)
    found = {}
    for name, follower in followers.items():
        z = _join([read_values[name][0] for read_values in passes])
        activation = _join([read_values[follower][1] for read_values in passes])
        found[name] = LayerImportance(name, z, activation, follower)
    return NodeImportance(found)


def _find_calls(model: nn.Module, samples: Probe, sources: dict[int, _Source], forward: Forward) -> dict[str, _Call]:
    """The calls of a forward pass of one sample, in their order."""

    def read(call: TracedCall) -> _Call:
        return _Call(call.output.shape[1:], sources.get(id(call.module)), is_activation(call))

    return read_calls(model, samples[:1], read, forward)[0]


def _source(call: _Call) -> _Source:
    """The layer of a call that is known to be one."""
    assert call.source is not None
    return call.source


def _activation_after(name: str, calls: dict[str, _Call]) -> str:
    """The next activation function behind a layer whose output has the layer's shape; the layer itself if none is."""
    names = list(calls)
    for later in names[names.index(name) + 1 :]:
        if calls[later].is_activation and calls[later].shape == calls[name].shape:
            return later
    return name


def _norms(output: Tensor, source: _Source) -> Tensor:
    """‖δ ∗ w_i‖_F for every image and unit, shape (n, units), float32."""
    maps = output.movedim(source.channel_axis, 1)
    if source.bias is not None:
        maps = maps - source.bias.to(maps.dtype).view(-1, *[1] * (maps.ndim - 2))
    if maps.ndim == 2:
        return maps.abs().float()
    dtype = torch.promote_types(maps.dtype, torch.float32)  # the sum of squares leaves the range of half precision
    return torch.linalg.vector_norm(maps, dim=tuple(range(2, maps.ndim)), dtype=dtype).float()


def _join(parts: Sequence[Tensor | None]) -> Tensor:
    """The values of all passes below each other."""
    return torch.cat([part for part in parts if part is not None])

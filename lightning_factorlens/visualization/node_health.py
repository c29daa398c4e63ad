"""Node health: which units are dead, rarely active or active in single pixels only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn

from lightning_factorlens._validation import is_number
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.capture.tracing import TracedCall
from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.results.node_health import NodeHealthResult
from lightning_factorlens.visualization.health_tests import HealthCounts, count_units, decide
from lightning_factorlens.visualization.probe_pass import (
    bind_forward,
    check_layer,
    check_layers,
    check_no_nan,
    is_activation,
    read_calls,
)
from lightning_factorlens.visualization.unit_maps import UnitAxis

#: Share of the images in which a unit must be active not to be dead or rare.
RATE = 0.01
#: Level of the tests.
LEVEL = 0.05


def check_shares(rate: float | None, level: float) -> None:
    """Checks the two shares of the tests.

    Args:
        rate: None, or checked to be above 0 and below 1.
        level: Checked to be above 0 and below 1.

    Raises:
        ValueError: One of them is something else.
    """
    for name, value in (("rate", 0.5 if rate is None else rate), ("level", level)):
        if not is_number(value) or not 0 < value < 1:
            raise ValueError(f"{name}: must be a number above 0 and below 1, found {value!r}.")


def node_health(
    model: nn.Module,
    probe: Any,
    layers: Collection[str] | None = None,
    *,
    rate: float | None = RATE,
    level: float = LEVEL,
    forward_fn: ForwardFn | None = None,
) -> NodeHealthResult:
    """Tests every unit of some layers in one pass of the probe.

    A unit is active in an image where it is above zero at any position. See `decide` for the tests, and
    `NodeHealthResult.table` for the result in words. Untrained networks have dead and rare units too: test one beside.
    The tests do not find memorisation.

    Args:
        model: The model; it is left bit for bit as found.
        probe: N images, or a `Probe`, on the model's device.
        layers: Names of calls of the forward pass; None for all activation functions.
        rate: Share of the images in which a unit must be active not to be dead or rare; None for the smallest that so
            many images can decide.
        level: The false discovery rate among the units of a layer.
        forward_fn: ``(model, batch) → output``, see `FactorLens`; the model itself unless given.

    Returns:
        The layers in the order of the forward pass. With fewer than ln(units / level) / rate images the units of a
        layer are undecided.

    Raises:
        ValueError: An unknown layer, no layer, a wrong share, or outputs that are NaN.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
        >>> _ = model[0].bias.data.copy_(torch.tensor([1.0, 1.0, -100.0, 1.0]))
        >>> node_health(model, torch.rand(500, 1, 8, 8))["1"].verdicts
        ('active', 'active', 'dead', 'active')
    """
    check_shares(rate, level)
    layers = check_layers(layers)
    samples = Probe.wrap(probe)
    forward = bind_forward(model, forward_fn)
    names: dict[str, None] = {}
    axis = UnitAxis()

    def read(call: TracedCall) -> HealthCounts | None:
        """The counts of a layer that is wanted."""
        names.setdefault(call.name)
        axis.note(call)
        is_wanted = is_activation(call) if layers is None else call.name in layers
        return count_units(check_no_nan(call.name, axis.maps(call, call.output))) if is_wanted else None

    with isolate_model(model):
        passes = read_calls(model, samples, read, forward)
    for name in layers or ():
        check_layer(name, list(names))
    if not passes[0]:
        raise ValueError("layers: the model has no activation function; name the layers to be tested.")
    found = {}
    for name, counts in passes[0].items():
        for later in passes[1:]:
            counts = counts + later[name]
        found[name] = decide(name, counts, rate, level)
    return NodeHealthResult(found)

"""The maps of one layer's units over a whole probe, reduced while the passes run."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.tracing import TracedCall
from lightning_factorlens.visualization.probe_pass import Forward, check_layer, read_calls
from lightning_factorlens.visualization.unit_maps import UnitAxis


def read_layer_maps(
    model: nn.Module, samples: Probe, layer: str, reduce: Callable[[Tensor], Tensor], forward: Forward
) -> Tensor:
    """Passes a probe through a model and keeps what is made of the maps of one layer.

    Args:
        model: The model, inside `isolate_model`.
        samples: N samples.
        layer: Name of a call of the forward pass.
        reduce: Receives the maps of a pass, shape (n, units, …), and returns a copy of what is kept, shape (n, …).
        forward: Calls the model.

    Returns:
        What is kept of all samples, shape (N, …).

    Raises:
        ValueError: There is no such layer, or its output has no axis of units.
    """
    names: dict[str, None] = {}
    axis = UnitAxis()

    def read(call: TracedCall) -> Tensor | None:
        names.setdefault(call.name)
        axis.note(call)
        return reduce(axis.maps(call, call.output)) if call.name == layer else None

    passes = read_calls(model, samples, read, forward)
    check_layer(layer, list(names))
    return torch.cat([found[layer] for found in passes])

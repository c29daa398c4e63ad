"""The forward passes of a probe in which the applications of weights are reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.batch_objects import clone
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.batches.tree import tree_map
from lightning_factorlens.capture.linear_calls import LinearCall, LinearCallTracer
from lightning_factorlens.capture.linear_layers import FoundLayers
from lightning_factorlens.capture.out_of_memory import run_pass


def run_probe(
    model: nn.Module,
    samples: Probe,
    found: FoundLayers,
    on_call: Callable[[LinearCall], None],
    forward: Callable[[Any], Any] | None = None,
    begin: Callable[[Batch, int], None] = lambda batch, start: None,
) -> LinearCallTracer:
    """Sends a probe through an isolated model, pass by pass.

    Args:
        model: In eval mode, see `isolate_model`.
        samples: The probe.
        found: The layers of the model.
        on_call: Receives every application of a weight.
        forward: Calls the model; the model itself unless given.
        begin: Receives the batch of every pass and the position of its first sample, before the pass.

    Returns:
        The tracer, which knows why a layer has no calls.
    """
    tracer = LinearCallTracer(model, found, on_call)
    call = forward or (lambda data: model(tree_map(clone, data)))

    def run(part: Batch, start: int) -> None:
        """One pass."""
        begin(part, start)
        with tracer.trace():
            call(part.data)

    start = 0
    while start < len(samples):
        start += run_pass(samples, run, start)
    return tracer

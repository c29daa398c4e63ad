"""What a forward pass of a few samples computes: every tensor with what the selection of layers needs to know."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from lightning_factorlens._private_api.tensors import storage_reference
from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.batches.sample_rows import sample_rows
from lightning_factorlens.capture.default_layers import TracedOutput
from lightning_factorlens.capture.module_names import layer_class
from lightning_factorlens.capture.tracing import TracedCall, trace_calls
from lightning_factorlens.results import LayerInfo


def trace_layers(model: nn.Module, forward: Callable[[Any], Any], probe: Tensor | Batch) -> list[TracedOutput]:
    """Sends a few samples through the model and lists every tensor that it computes, in order.

    Args:
        model: In eval mode, see `isolate_model`.
        forward: Calls the model on the data of a batch.
        probe: A few samples, or a batch of them.

    Returns:
        One entry for each call that returned a floating-point tensor. Those from which no row for each sample can be
        made have an `obstacle`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
        >>> [output.name for output in trace_layers(model, model, torch.rand(2, 4))]
        ['0', '1', '2', '']
    """
    batch = probe if isinstance(probe, Batch) else Probe.wrap(probe).whole[0]
    traced: list[TracedOutput] = []

    def record(call: TracedCall) -> None:
        output = call.output.detach()
        if not output.is_floating_point() or output.ndim == 0:
            return
        rows = sample_rows(output, batch)
        if rows is None or rows.numel() == 0:
            traced.append(_untraceable_output(call, output, len(batch)))
        elif rows.ndim >= 2:
            traced.append(_traced_output(call, output, rows))

    with trace_calls(model, record):
        forward(batch.data)
    return traced


def _traced_output(call: TracedCall, output: Tensor, rows: Tensor) -> TracedOutput:
    """The record of a call from which the selection decides."""
    info = LayerInfo(call.name, call.op, tuple(rows.shape[1:]), _smallest(output), False, "")
    return TracedOutput(
        info,
        module_type=None if call.module is None else layer_class(call.module),
        is_leaf=call.module is None or next(call.module.children(), None) is None,
        owner=_owner(call),
        memory=(storage_reference(output), (int(output.storage_offset()), output.numel())),
        n_features=rows[0].numel(),
        treatment="" if rows.numel() == output.numel() else "mean over the rows of each sample",
    )


def _untraceable_output(call: TracedCall, output: Tensor, n_samples: int) -> TracedOutput:
    """The record of a call whose output cannot be captured."""
    obstacle = (
        "it is empty" if output.numel() == 0 else f"its rows are not samples: {len(output)} for {n_samples} samples"
    )
    minimum = _smallest(output) if output.numel() else 0.0
    info = LayerInfo(call.name, call.op, tuple(output.shape[1:]), minimum, False, "")
    module_type = None if call.module is None else layer_class(call.module)
    return TracedOutput(info, module_type, True, _owner(call), None, 0, obstacle)


def _smallest(output: Tensor) -> float:
    """The smallest value that is not NaN: the sign of an activation does not depend on a fault. NaN if all are."""
    smallest = float(output.min())
    if not math.isnan(smallest):
        return smallest
    finite = output[~output.isnan()]
    return float(finite.min()) if finite.numel() else math.nan


def _owner(call: TracedCall) -> tuple[str, ...]:
    """Path of the module that made the call: the parent of a module, the caller of a function."""
    separator = "F." if call.module is None else "."
    path = call.name.rpartition(separator)[0].strip(".")
    if not path:
        return ()
    return tuple(path.split("."))

"""The parts of a model's output, and how the model computes them, found with one pass of a few samples."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.capture.forward_gradients import graph_without_tensors
from lightning_factorlens.capture.gradients import differentiable_batch
from lightning_factorlens.capture.output_parts import OutputPart, inspect_outputs
from lightning_factorlens.capture.sharded_parameters import is_fully_dtensor
from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.lens.model_runner import ModelRunner


def find_output_parts(runner: ModelRunner, batch: Batch) -> tuple[OutputPart, ...]:
    """The parts of the model's output for a few samples, with gradients where the model can be run with them.

    Parts whose shape depends on the number of samples, as similarities between samples, are left out.

    Args:
        runner: Calls the model.
        batch: The samples.
    """
    parts = None
    # FSDP1 and DeepSpeed expect a backward pass after a forward pass with gradients.
    if not runner.is_sharded or is_fully_dtensor(runner.model):
        parts = _inspect_graph(runner, batch, graph_without_tensors)
        if parts is None:  # the model takes gradients itself
            parts = _inspect_graph(runner, batch, nullcontext)
    if parts is None:  # it has no gradients, or too little memory for them
        with runner.isolated():
            parts = inspect_outputs(runner.model, runner.call, batch.data, len(batch))
    if len(batch) < 2 or not batch.is_cuttable or not any(len(batch) in part.shape for part in parts):
        return parts
    fewer = batch[: len(batch) - 1]
    with runner.isolated():
        found = inspect_outputs(runner.model, runner.call, fewer.data, len(fewer))
    fixed_shapes = {(part.path, part.shape) for part in found}
    return tuple(part for part in parts if (part.path, part.shape) in fixed_shapes)


def _inspect_graph(
    runner: ModelRunner, batch: Batch, recording: Callable[[], AbstractContextManager[None]]
) -> tuple[OutputPart, ...] | None:
    """The parts of the output with their signatures; None where a forward pass with gradients fails."""
    try:
        with isolate_model(runner.model, gradients=True), runner.forward_context(), recording():
            recorded, _ = differentiable_batch(batch, input_gradients=False)
            return inspect_outputs(runner.model, runner.call, recorded.data, len(batch))
    except Exception:
        return None

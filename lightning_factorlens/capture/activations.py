"""One forward pass over the probe: the outputs of the selected layers as blocks, and the outputs of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens._validation import check_int
from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.probe import BATCH, Probe
from lightning_factorlens.capture.gradients import check_gradients, differentiable_batch
from lightning_factorlens.capture.layer_buffers import GraphLayerBuffer, LayerBuffer, make_blocks, make_buffers
from lightning_factorlens.capture.out_of_memory import run_pass
from lightning_factorlens.capture.output_parts import find_parts
from lightning_factorlens.capture.outputs import OutputDecision
from lightning_factorlens.capture.tracing import TracedCall, trace_calls
from lightning_factorlens.results import Block, LayerInfo


@dataclass(frozen=True)
class Capture:
    """What a forward pass computed.

    Attributes:
        layers: One block for each selected layer, in the order of the table of layers.
        outputs: The model's class scores, shape (N, K), float32; None where its output is not read as class scores.
        inputs: The inputs as a leaf of the autograd graph, shape (N, …); None without ``input_gradients``.
    """

    layers: list[Block]
    outputs: Tensor | None
    inputs: Tensor | None = None


def capture_activations(
    model: nn.Module,
    forward: Callable[[Any], Any],
    probe: Tensor | Batch | Probe,
    layers: Iterable[LayerInfo],
    max_neurons_per_layer: int | None = None,
    seed: int = 0,
    *,
    gradients: bool = False,
    input_gradients: bool = False,
    decision: OutputDecision | None = None,
) -> Capture:
    """Sends the probe through the model and keeps the outputs of the selected layers.

    Args:
        model: In eval mode, see `isolate_model`.
        forward: Calls the model on the data of a batch and returns its output.
        probe: Inputs, shape (N, …), a batch of them and of the model's other arguments, or a probe of several batches.
        layers: From `select_layers`; the selected ones are captured.
        max_neurons_per_layer: Largest number of neurons that are captured of each layer, drawn once for all samples by
            ``seed`` and the layer's name; None for all neurons.
        seed: Seed of that draw.
        gradients: With False, blocks and outputs are detached and the probe is sent in passes of at most `BATCH`
            samples, or fewer where memory does not suffice. With True they stay in the autograd graph, in which the
            outputs are computed from the blocks: ``torch.autograd.grad`` gives gradients of an output with respect to a
            block, and of a block with respect to the weights. All samples then go through the model in one forward
            pass, whose graph stays in memory, and must be one batch; `capture_batches` keeps one batch at a time.
        input_gradients: Also take gradients with respect to the inputs, see `Capture.inputs`.
        decision: Which part of the output is read; None for the first tensor of shape (N, K ≥ 2), whatever it is.

    Returns:
        The blocks and the outputs, on the model's device; blocks are float32 (float64 stays).

    Raises:
        RuntimeError: A selected layer did not run for every sample, or gave another shape than in the traced forward
            pass of samples of one size; memory does not suffice for one sample; or autograd is disabled while
            ``gradients=True``.
        ValueError: ``input_gradients`` without ``gradients``, or for inputs that have none.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from lightning_factorlens.capture import isolate_model, select_layers, trace_layers
        >>> model, images = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), torch.rand(6, 4)
        >>> with isolate_model(model):
        ...     table = select_layers(trace_layers(model, model, images))
        ...     capture = capture_activations(model, model, images, table)
        >>> [(block.name, tuple(block.samples.shape)) for block in capture.layers], tuple(capture.outputs.shape)
        ([('1', (6, 5))], (6, 3))
        >>> with isolate_model(model, gradients=True):
        ...     capture = capture_activations(model, model, images, table, gradients=True)
        ...     (gradient,) = torch.autograd.grad(capture.outputs[:, 0].sum(), capture.layers[0].samples)
        >>> torch.equal(gradient, model[2].weight[0].expand(6, 5))
        True
    """
    check_gradients(gradients, input_gradients)
    samples = Probe.wrap(probe)
    if gradients:
        graph_buffers = make_buffers(GraphLayerBuffer, layers, max_neurons_per_layer, seed, len(samples))
        return _capture_graph(model, forward, _only_batch(samples), graph_buffers, input_gradients, decision)
    buffers = make_buffers(LayerBuffer, layers, max_neurons_per_layer, seed, len(samples), samples.has_equal_sizes)
    outputs: list[Tensor] = []
    n_batches = 0
    start = 0

    def keep(call: TracedCall) -> None:
        if call.name in buffers:
            buffers[call.name].fill(call.output)

    def run(part: Batch, start: int) -> None:
        """Fills the buffers by one pass."""
        for buffer in buffers.values():
            buffer.begin(part, start)
        with trace_calls(model, keep) if buffers else nullcontext():
            logits = find_class_scores(forward(part.data), len(part), decision)
        if logits is not None:
            outputs.append(logits.detach())

    while start < len(samples):
        start += run_pass(samples, run, start)
        n_batches += 1
    blocks = make_blocks(buffers)
    return Capture(blocks, torch.cat(outputs) if len(outputs) == n_batches else None)


def capture_batches(
    model: nn.Module,
    forward: Callable[[Any], Any],
    probe: Tensor | Batch | Probe,
    layers: Iterable[LayerInfo],
    max_neurons_per_layer: int | None = None,
    seed: int = 0,
    *,
    gradients: bool = True,
    input_gradients: bool = False,
    batch_size: int = BATCH,
    decision: OutputDecision | None = None,
) -> Iterator[Capture]:
    """Captures one batch after the other, so that memory holds the autograd graph of one batch.

    Take the gradients of a capture before the next one is requested, and keep no reference to the capture. No hook is
    left in the model between two batches.

    Args:
        model: A model in eval mode, see `isolate_model`.
        forward: Calls the model on the data of a batch and returns its output.
        probe: Inputs, shape (N, …), a batch, or a probe of several batches.
        layers: From `select_layers`.
        max_neurons_per_layer: Largest number of neurons that are captured of each layer; every batch has the same ones.
        seed: Seed by which these neurons are drawn.
        gradients: Whether the captures stay in the autograd graph.
        input_gradients: Whether to take gradients with respect to the inputs.
        batch_size: Samples in each batch, at least 1; the default gives the batches of `capture_activations` without
            gradients.
        decision: Which part of the output is read; see `capture_activations`.

    Yields:
        The capture of each batch, in the order of the samples.

    Raises:
        RuntimeError: A condition under which `capture_activations` raises it.
        ValueError: A condition under which `capture_activations` raises it.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from lightning_factorlens.capture import isolate_model, select_layers, trace_layers
        >>> model, images = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), torch.rand(6, 4)
        >>> table = select_layers(trace_layers(model, model, images))
        >>> with isolate_model(model, gradients=True):
        ...     for capture in capture_batches(model, model, images, table, input_gradients=True, batch_size=4):
        ...         (saliency,) = torch.autograd.grad(capture.outputs[:, 0].sum(), capture.inputs)
        ...         print(tuple(saliency.shape))
        (4, 4)
        (2, 4)
    """
    check_gradients(gradients, input_gradients)
    check_int("batch_size", batch_size, 1)
    samples = Probe.wrap(probe)
    table = list(layers)
    captures: list[Capture] = []
    start = 0

    def run(part: Batch, _: int) -> None:
        """Captures one pass."""
        captures.append(
            capture_activations(
                model,
                forward,
                part,
                table,
                max_neurons_per_layer,
                seed,
                gradients=gradients,
                input_gradients=input_gradients,
                decision=decision,
            )
        )

    while start < len(samples):
        start += run_pass(samples, run, start, batch_size)
        yield captures.pop()  # no reference to its graph stays here


def _only_batch(samples: Probe) -> Batch:
    """All samples as one batch.

    Raises:
        ValueError: They are several batches.
    """
    if len(samples.whole) > 1 or samples.functions or len(samples) < len(samples.whole[0]):
        raise ValueError(
            "gradients: found a probe that is not one batch, so that its samples cannot pass together; use "
            "`capture_batches`, which captures one batch after the other."
        )
    return samples.whole[0]


def _capture_graph(
    model: nn.Module,
    forward: Callable[[Any], Any],
    batch: Batch,
    buffers: Mapping[str, LayerBuffer],
    input_gradients: bool,
    decision: OutputDecision | None,
) -> Capture:
    """One forward pass over the whole batch that stays in the autograd graph."""

    def keep(call: TracedCall) -> Tensor | None:
        if call.name not in buffers:
            return None
        return buffers[call.name].fill(call.output)

    batch, inputs = differentiable_batch(batch, input_gradients)
    for buffer in buffers.values():
        buffer.begin(batch, 0)
    with trace_calls(model, keep, replace_outputs=True):
        outputs = find_class_scores(forward(batch.data), len(batch), decision)
    return Capture(make_blocks(buffers), outputs, inputs)


def find_class_scores(output: Any, n_samples: int, decision: OutputDecision | None) -> Tensor | None:
    """The class scores in a model's output, shape (n_samples, K), float32.

    Args:
        output: A tensor, or tensors in dictionaries, lists, tuples and dataclasses.
        n_samples: Samples in the batch.
        decision: Which part is read; None for the first of this shape, the one under the key ``"logits"`` before all.
    """
    if decision is not None:
        return decision.class_scores(output, n_samples)
    parts = find_parts(output, n_samples)
    for path in sorted(parts, key=lambda path: path != "logits"):
        part = parts[path]
        if part.ndim == 2 and part.shape[1] > 1:
            return part.float()
    return None

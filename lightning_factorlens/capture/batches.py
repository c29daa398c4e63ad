"""Captures of one batch after the other, for measurements that need gradients of more samples than fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import Tensor, nn

from lightning_factorlens._validation import check_int
from lightning_factorlens.capture.activations import BATCH, Capture, capture_activations
from lightning_factorlens.capture.batch import Batch
from lightning_factorlens.capture.gradients import check_gradients
from lightning_factorlens.results import LayerInfo


def capture_batches(
    model: nn.Module,
    forward: Callable[[Any], Any],
    probe: Tensor | Batch,
    layers: Iterable[LayerInfo],
    max_neurons_per_layer: int | None = None,
    seed: int = 0,
    *,
    gradients: bool = True,
    input_gradients: bool = False,
    batch_size: int = BATCH,
) -> Iterator[Capture]:
    """Captures one batch after the other, so that memory holds the autograd graph of one batch.

    Take the gradients of a capture before the next one is requested, and keep no reference to the capture. No hook is
    left in the model between two batches.

    Args:
        model: As in `capture_activations`, like the following arguments.
        forward: Calls the model on the data of a batch and returns its output.
        probe: Inputs, shape (N, …), or a batch.
        layers: From `select_layers`.
        max_neurons_per_layer: The same neurons in every batch.
        seed: Seed of their draw.
        gradients: Whether the captures stay in the autograd graph.
        input_gradients: Whether to take gradients with respect to the inputs.
        batch_size: Samples in each batch, at least 1; the default gives the batches of `capture_activations` without
            gradients.

    Yields:
        The capture of each batch, in the order of the samples.

    Raises:
        RuntimeError: As in `capture_activations`.
        ValueError: As in `capture_activations`.

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
    table = list(layers)
    for part in Batch.wrap(probe).split(batch_size):
        yield capture_activations(
            model,
            forward,
            part,
            table,
            max_neurons_per_layer,
            seed,
            gradients=gradients,
            input_gradients=input_gradients,
        )

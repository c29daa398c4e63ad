"""Gradient disparity of Forouzesh and Thiran (2021), arXiv 2107.06665; it uses training labels.

The ℓ2 distance between the gradients of two mini-batches of the training set, averaged over pairs of batches; the
authors stop after it has risen for some epochs. Here the loss is not rescaled before its gradient is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens.isolation.isolation import isolate_model


def batch_gradients(model: nn.Module, loss: Callable[[Any], Tensor], batches: Iterable[Any]) -> Tensor:
    """The gradient of the loss of each batch, taken in eval mode; the model and its ``.grad`` are left unchanged.

    Args:
        model: The network; its parameters that require a gradient are used.
        loss: Returns the scalar loss of one batch.
        batches: Labeled batches of the training set, all of the same size.

    Returns:
        Shape (batches, parameters).
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    rows = []
    with isolate_model(model), torch.enable_grad():
        for batch in batches:
            gradients = torch.autograd.grad(loss(batch), parameters, allow_unused=True)
            parts = []
            for parameter, gradient in zip(parameters, gradients):
                parts.append((torch.zeros_like(parameter) if gradient is None else gradient).flatten())
            rows.append(torch.cat(parts))
    return torch.stack(rows)


def gradient_disparity(gradients: Tensor) -> float:
    """The mean over pairs of batches of ‖g_i − g_j‖₂.

    Args:
        gradients: Shape (batches, parameters), at least two batches.

    Returns:
        A number ≥ 0, in the units of the gradient.

    Raises:
        ValueError: Fewer than two batches.
    """
    if len(gradients) < 2:
        raise ValueError(f"gradients: disparity needs at least two batches, found {len(gradients)}.")
    return float(torch.pdist(gradients.double().cpu()).mean())

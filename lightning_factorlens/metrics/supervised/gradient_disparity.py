"""Gradient disparity: uses training labels. Forouzesh and Thiran (2021, arXiv 2107.06665).

The ℓ2 distance between the gradients of two mini-batches of the training set, as a mean over pairs of batches; the
authors stop after it has risen for some epochs. Gradients are taken as they are, without rescaling the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens.capture.isolation import isolate_model


def batch_gradients(model: nn.Module, loss: Callable[[Any], Tensor], batches: Iterable[Any]) -> Tensor:
    """The gradient of each batch's loss, in eval mode; the model and its ``.grad`` are left as found.

    Args:
        model: Whose parameters count, those that require a gradient.
        loss: Of one batch: a scalar.
        batches: Labeled batches of the training set, equally large.

    Returns:
        Shape (batches, parameters).
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    rows = []
    with isolate_model(model), torch.enable_grad():
        for batch in batches:
            gradients = torch.autograd.grad(loss(batch), parameters, allow_unused=True)
            rows.append(
                torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, gradients)])
            )
    return torch.stack(rows)


def gradient_disparity(gradients: Tensor) -> float:
    """Mean over pairs of batches of ‖g_i − g_j‖₂.

    Args:
        gradients: Shape (batches, parameters), at least two batches.

    Returns:
        ≥ 0, in the units of the gradient.

    Raises:
        ValueError: Fewer than two batches.
    """
    if len(gradients) < 2:
        raise ValueError(f"gradients: disparity needs at least two batches, found {len(gradients)}.")
    return float(torch.pdist(gradients.double().cpu()).mean())

"""Preparing a batch for a forward pass with gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_factorlens.batches.batch import Batch


def check_gradients(gradients: bool, input_gradients: bool) -> None:
    """Checks that gradients can be taken.

    Args:
        gradients: Whether the capture stays in the autograd graph.
        input_gradients: Whether gradients with respect to the inputs are taken.

    Raises:
        ValueError: ``input_gradients`` without ``gradients``.
        RuntimeError: Autograd is disabled.
    """
    if input_gradients and not gradients:
        raise ValueError("input_gradients: found True with gradients=False; pass gradients=True as well.")
    if gradients and (torch.is_inference_mode_enabled() or not torch.is_grad_enabled()):
        raise RuntimeError(
            "gradients: found True while autograd is disabled; capture inside `isolate_model(model, gradients=True)`."
        )


def differentiable_batch(batch: Batch, input_gradients: bool) -> tuple[Batch, Tensor | None]:
    """The batch as autograd can record it.

    Tensors that were made in inference mode are copied, since autograd cannot save them.

    Args:
        batch: N samples.
        input_gradients: Whether the inputs become a leaf of the graph.

    Returns:
        The batch for the model, and the leaf, shape (N, …). The model receives a copy of the leaf that is connected
        with it, because a leaf must not be overwritten in place.

    Raises:
        ValueError: Inputs that have no gradient.
    """
    converted = batch.map(_without_inference)
    if not input_gradients:
        return converted, None
    inputs = converted.inputs
    if isinstance(inputs, list):
        raise ValueError(
            f"input_gradients: found a list of {len(inputs)} images as inputs, gradients are taken of tensors alone; "
            "capture the first layer instead."
        )
    if not inputs.is_floating_point():
        raise ValueError(
            f"input_gradients: found inputs of dtype {inputs.dtype}, only floating-point inputs have gradients; "
            "convert them, or capture the first layer (such as the embedding) instead."
        )
    leaf = inputs.detach().clone().requires_grad_()
    connected = converted.with_inputs(leaf.clone())
    if connected is None:
        raise ValueError(
            "input_gradients: found inputs that are computed from the batch and are no part of it, so the model's "
            "outputs do not depend on them; let the method `inputs(batch)` return a tensor of the batch."
        )
    return connected, leaf


def _without_inference(part: Any) -> Any:
    if isinstance(part, Tensor) and part.is_inference():
        return part.clone()
    return part

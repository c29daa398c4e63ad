"""Activations of all captured layers, and the gradients of each image's own class score, from one pass of the probe."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens.capture import Capture
from lightning_factorlens.concepts.groups import image_values
from lightning_factorlens.concepts.predictions import PREDICTIONS, predicted_classes


@dataclass(frozen=True, eq=False)
class LayerGradients:
    """One layer.

    Attributes:
        layer: Name of the layer.
        kept_features: Indices of the captured features; None for all.
        activations: Shape (N, features), on the model's device, or on the CPU where that has no float64.
        gradients: Gradient of the score of each image's own class with respect to its activations, shape (N, features).
            Zero for an image without a class.
    """

    layer: str
    kept_features: Tensor | None
    activations: Tensor
    gradients: Tensor


def collect_gradients(
    captures: Generator[Capture, None, None], classes: str | Any, n_samples: int
) -> tuple[list[LayerGradients], Tensor]:
    """Takes the gradients of one batch after the other, each by one backward pass for all layers.

    The scores are summed over the images, each of which has its own class. Where images do not influence each other, as
    in evaluation mode, row i of the sum's gradient is the gradient of image i.

    Args:
        captures: From `ModelRunner.gradient_captures`; it is closed in any case.
        classes: ``"predictions"``, or the class of each image; see `FactorLens.tcav`.
        n_samples: Number of images N.

    Returns:
        The layers, and the class of every image, shape (N,), −1 for none, on the CPU.

    Raises:
        ValueError: A model without class scores or without gradients, classes that are none of the output's, or
            gradients that are NaN or infinite.
    """
    labels = None if isinstance(classes, str) else _labels(classes, n_samples)
    _check_word(classes)
    layers: list[LayerGradients] = []
    own_classes: list[Tensor] = []
    start = 0
    with closing(captures):
        for capture in captures:
            scores = _class_scores(capture)
            rows = slice(start, start + len(scores))
            chosen = _own_classes(scores, labels, rows)
            own_classes.append(chosen.cpu())
            gradients = _gradients(capture, scores, chosen)
            if not layers:
                layers = [_empty_layer(block, n_samples) for block in capture.layers]
            for layer, block, gradient in zip(layers, capture.layers, gradients):
                layer.activations[rows] = block.samples.detach()
                layer.gradients[rows] = gradient
            start = rows.stop
            del capture, scores, gradients  # the next pass begins without the graph of this one
    for layer in layers:
        _check_finite(layer)
    return layers, torch.cat(own_classes)


def _check_word(classes: Any) -> None:
    if isinstance(classes, str) and classes != PREDICTIONS:
        raise ValueError(f"classes: found {classes!r}; write 'predictions', or give the class of each image.")


def _labels(classes: Any, n_samples: int) -> Tensor:
    """The user's classes, shape (N,); −1 for None."""
    values = image_values("classes", classes, n_samples)
    for value in values:
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < -1:
            raise ValueError(
                f"classes: found {value!r}; give the position of each image's class in the model's output, counted "
                "from 0, or None or -1 for an image without one."
            )
    return torch.tensor([-1 if value is None else value for value in values])


def _class_scores(capture: Capture) -> Tensor:
    if capture.outputs is None:
        raise ValueError(
            "outputs: the model's output is not read as class scores, so that no class has a gradient. If it is, pass "
            "outputs='classes' to FactorLens."
        )
    if not capture.outputs.requires_grad:
        raise ValueError(
            "outputs: autograd does not connect the class scores with the captured layers, since the model's forward "
            "pass detaches them or runs without gradients; TCAV needs a model that is differentiable from its layers "
            "to its class scores."
        )
    return capture.outputs


def _own_classes(scores: Tensor, labels: Tensor | None, rows: slice) -> Tensor:
    if labels is None:
        found = predicted_classes(scores.detach())
        assert found is not None
        return found
    chosen = labels[rows].clone().to(scores.device)  # autograd saves no tensor that was made in inference mode
    n_classes = scores.shape[1]
    if bool((chosen >= n_classes).any()):
        raise ValueError(
            f"classes: found {int(chosen.max())}, but the model has scores of {n_classes} classes; give positions from "
            f"0 to {n_classes - 1}."
        )
    return chosen


def _gradients(capture: Capture, scores: Tensor, chosen: Tensor) -> list[Tensor]:
    """The gradient of the sum of the images' own scores with respect to every layer; zeros where there is none."""
    blocks = [block.samples for block in capture.layers]
    if not blocks:
        return []
    own_scores = scores.gather(1, chosen.clamp_min(0)[:, None])[:, 0]
    total = own_scores[chosen >= 0].sum()
    found = torch.autograd.grad(total, blocks, allow_unused=True)
    return [torch.zeros_like(block) if gradient is None else gradient for block, gradient in zip(blocks, found)]


def _empty_layer(block: Any, n_samples: int) -> LayerGradients:
    device = block.samples.device
    if device.type == "mps":  # which has no float64
        device = torch.device("cpu")
    activations = torch.empty(n_samples, block.samples.shape[1], dtype=block.samples.dtype, device=device)
    return LayerGradients(block.name, block.kept_features, activations, torch.empty_like(activations))


def _check_finite(layer: LayerGradients) -> None:
    for word, values in (("activations", layer.activations), ("gradients", layer.gradients)):
        if bool(values.sum().isfinite()):
            continue  # a sum is not finite where an addend is not
        n_wrong = int((~values.isfinite()).sum())
        if n_wrong:
            raise ValueError(
                f"probe: {n_wrong} of {values.numel()} {word} of layer {layer.layer!r} are NaN or infinite. Remove the "
                "samples that cause them, or leave the layer out with LensOptions(layers=…)."
            )

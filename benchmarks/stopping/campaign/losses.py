"""Losses and accuracies by the kind of the outputs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def loss_of(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy: of classes, also of pixels, or the binary one where labels are 0 and 1 for every output."""
    if labels.is_floating_point():
        return functional.binary_cross_entropy_with_logits(logits, labels.to(logits))
    return functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def accuracy_of(logits: Tensor, labels: Tensor) -> float:
    """Fraction of right classes; of samples with all labels right; mean intersection over union of the foreground."""
    if labels.is_floating_point():
        return float(((logits > 0) == (labels > 0.5)).all(1).double().mean())
    predicted = logits.argmax(1)
    if labels.ndim == 1:
        return float((predicted == labels).double().mean())
    both = ((predicted == 1) & (labels == 1)).flatten(1).sum(1).double()
    either = ((predicted == 1) | (labels == 1)).flatten(1).sum(1).double()
    return float((both / either.clamp(min=1)).mean())


def loss_and_accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Both for outputs of a whole data set, the loss in double precision."""
    return float(loss_of(logits.double(), labels)), accuracy_of(logits, labels)


def mixed(x: Tensor, labels: Tensor, weight: float, partner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mixes samples in pairs (Zhang et al. 2018, "mixup"): the inputs, and the labels of both."""
    return torch.lerp(x[partner], x, weight), labels, labels[partner]

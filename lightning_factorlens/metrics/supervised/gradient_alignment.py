"""Gradient–weight alignment: uses training labels. Hölzl, Rueckert and Kaissis (2025, arXiv 2510.25480).

The cosine between each training image's negative gradient and the weights, at the last linear layer, where the gradient
of the cross-entropy is (p − y) hᵀ. The score is their mean over their excess kurtosis + 1.2 (a uniform distribution's
is −1.2), as in the authors' code; they stop where it is largest.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gradient_weight_alignments(logits: Tensor, labels: Tensor, features: Tensor, weight: Tensor) -> Tensor:
    """cos(−g_i, W) of every image.

    Args:
        logits: W h + b, shape (N, K).
        labels: Training labels, shape (N,), whole numbers.
        features: Inputs h of the last layer, shape (N, D).
        weight: W, shape (K, D).

    Returns:
        Shape (N,), float64, from −1 to 1; 0 where a gradient vanishes.
    """
    h, W = features.double(), weight.double()
    error = logits.double().softmax(1)
    error[torch.arange(len(labels), device=error.device), labels] -= 1
    product = -((error @ W) * h).sum(1)
    norms = error.norm(dim=1) * h.norm(dim=1) * W.norm()
    return torch.where(norms > 0, product / norms.clamp_min(torch.finfo(torch.float64).tiny), 0.0)


def gradient_weight_alignment(logits: Tensor, labels: Tensor, features: Tensor, weight: Tensor) -> float:
    """Mean of the alignments over their excess kurtosis + 1.2; larger is better.

    Args:
        logits: As in `gradient_weight_alignments`, as for all.
        labels: Training labels.
        features: Inputs of the last layer.
        weight: Of the last layer.

    Returns:
        A number without unit; NaN where all images have the same alignment.
    """
    a = gradient_weight_alignments(logits, labels, features, weight)
    deviation = a - a.mean()
    kurtosis = deviation.pow(4).mean() / deviation.square().mean().square() - 3
    return float(a.mean() / (kurtosis + 1.2))

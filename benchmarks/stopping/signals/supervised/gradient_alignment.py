"""Gradient–weight alignment of Hölzl, Rueckert and Kaissis (2025), arXiv 2510.25480; it uses training labels.

The alignment of a training image is the cosine between its negative gradient and the weights of the last linear layer,
where the gradient of the cross-entropy is (p − y) hᵀ. The score is the mean of the alignments divided by their excess
kurtosis + 1.2 (the excess kurtosis of a uniform distribution is −1.2), as in the authors' code, who stop where it is
largest.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gradient_weight_alignments(logits: Tensor, labels: Tensor, features: Tensor, weight: Tensor) -> Tensor:
    """The alignment cos(−g_i, W) of every image.

    Args:
        logits: W h + b, shape (N, K).
        labels: Integer training labels, shape (N,).
        features: Inputs h of the last layer, shape (N, D).
        weight: W, shape (K, D).

    Returns:
        Shape (N,), float64, from −1 to 1; 0 where a gradient vanishes.
    """
    h = features.double()
    W = weight.double()
    error = logits.double().softmax(1)
    error[torch.arange(len(labels), device=error.device), labels] -= 1
    product = -((error @ W) * h).sum(1)
    norms = error.norm(dim=1) * h.norm(dim=1) * W.norm()
    return torch.where(norms > 0, product / norms.clamp_min(torch.finfo(torch.float64).tiny), 0.0)


def gradient_weight_alignment(logits: Tensor, labels: Tensor, features: Tensor, weight: Tensor) -> float:
    """The mean of the alignments divided by their excess kurtosis + 1.2; larger is better.

    Args:
        logits: W h + b, shape (N, K).
        labels: Integer training labels, shape (N,).
        features: Inputs h of the last layer, shape (N, D).
        weight: W, shape (K, D).

    Returns:
        A number without unit; NaN where all images have the same alignment.
    """
    a = gradient_weight_alignments(logits, labels, features, weight)
    deviation = a - a.mean()
    kurtosis = deviation.pow(4).mean() / deviation.square().mean().square() - 3
    return float(a.mean() / (kurtosis + 1.2))

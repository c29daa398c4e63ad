"""Nuclear norm of the matrix of predictions: large where they are confident and distributed over all classes.

Deng, Suh, Gould and Zheng (2023), "Confidence and dispersity speak: characterizing prediction matrix for unsupervised
accuracy estimation", who estimate accuracy with it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_factorlens.metrics.probabilities import log_probabilities


def nuclear_norm(outputs: Tensor, is_probability: bool | None = None) -> float:
    """‖P‖_* / √(N·min(N, K)), P the predicted probabilities of all images; the divisor is the largest possible value.

    Args:
        outputs: Shape (N, K).
        is_probability: See `log_probabilities`.

    Returns:
        Above 0, and at most 1: one-hot predictions with equally many images in each class. NaN where one of the outputs
        is no prediction, and where there are none.

    Example:
        >>> round(nuclear_norm(100 * torch.eye(3)), 4)
        1.0
    """
    probabilities = log_probabilities(outputs, is_probability).exp().double().cpu()
    if not probabilities.numel() or not probabilities.isfinite().all():
        return math.nan  # the singular value decomposition of such a matrix is an error
    largest = (len(probabilities) * min(probabilities.shape)) ** 0.5
    return float(torch.linalg.svdvals(probabilities).sum()) / largest

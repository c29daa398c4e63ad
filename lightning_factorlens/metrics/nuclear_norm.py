"""Nuclear norm of the prediction matrix: large where predictions are both sure and spread over the classes.

Deng et al. (2023, arXiv 2302.01094, "Confidence and dispersity speak"), who estimate accuracy with it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.metrics.probabilities import log_probabilities


def nuclear_norm(outputs: Tensor) -> float:
    """‖P‖_* / √(N·min(N, K)), P the predicted probabilities of all images; the divisor is its upper bound.

    Args:
        outputs: Shape (N, K).

    Returns:
        Above 0, at most 1: one-hot predictions, equally many images a class.
    """
    p = log_probabilities(outputs).exp().double().cpu()
    return float(torch.linalg.svdvals(p).sum()) / (len(p) * min(p.shape)) ** 0.5

"""Three ways to compare the predictions for the plain probe images with those for transformed copies of them.

The signal that the package itself logs compares with pseudo-labels averaged over epochs, see
`lightning_factorlens.metrics.temporal_ensemble`; the functions here compare with the plain predictions of the same
epoch. All are NaN where an output is no prediction, see `lightning_factorlens.metrics.probabilities.count_missing`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_factorlens.metrics.probabilities import count_missing, log_probabilities


def prediction_agreement_loss(outputs: Tensor, transformed: Sequence[Tensor]) -> float:
    """Cross-entropy of the transformed images' predictions against the classes predicted for the plain images.

    The mean over images i and transforms T_k of −log p(ŷ_i | T_k x_i) with ŷ_i = argmax p(· | x_i).

    Args:
        outputs: Outputs for the plain images, shape (N, K).
        transformed: Outputs for the images under each transform, the same shape.

    Returns:
        A number ≥ 0, in nats; lower means more consistent.
    """
    if _any_missing(outputs, *transformed):
        return math.nan
    predicted = outputs.argmax(1)
    log_p = torch.stack([log_probabilities(t) for t in transformed])
    picked = log_p.gather(2, predicted.expand(len(transformed), -1)[..., None])
    return float(-picked.double().mean())


def soft_consistency(outputs: Tensor, transformed: Sequence[Tensor]) -> float:
    """Symmetric cross-entropy between the plain and the transformed images' predictions, −½ Σ (p log q + q log p).

    Unlike `prediction_agreement_loss` it depends on the confidence of the plain prediction: equal predictions give
    their entropy and not 0.

    Args:
        outputs: Outputs for the plain images, shape (N, K).
        transformed: Outputs for the images under each transform, the same shape.

    Returns:
        The mean over images and transforms, ≥ 0, in nats.
    """
    log_p = log_probabilities(outputs)
    log_q = torch.stack([log_probabilities(t) for t in transformed])
    crossed = (weighted_logs(log_p.exp(), log_q) + weighted_logs(log_q.exp(), log_p)).sum(-1)
    return float(-0.5 * crossed.double().mean())


def disagreement_rate(outputs: Tensor, transformed: Sequence[Tensor]) -> float:
    """Fraction of the images and transforms whose predicted class differs from that of the plain image.

    Args:
        outputs: Outputs for the plain images, shape (N, K).
        transformed: Outputs for the images under each transform, the same shape.

    Returns:
        From 0 to 1.
    """
    if _any_missing(outputs, *transformed):
        return math.nan  # `argmax` would take the class of the NaN
    predicted = outputs.argmax(1)
    return float(torch.stack([t.argmax(1) != predicted for t in transformed]).double().mean())


def weighted_logs(p: Tensor, log_q: Tensor) -> Tensor:
    """P · log q with 0 · log 0 = 0, which is the product of a masked class."""
    return torch.where((p == 0) & (log_q == -math.inf), 0.0, p * log_q)


def _any_missing(*outputs: Tensor) -> bool:
    return any(count_missing(of_images) for of_images in outputs)

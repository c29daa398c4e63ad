"""How much the predictions for the same images changed between two looks.

Label Wave (Yuan et al., ICLR 2024) stops where the changes on the training set are fewest; on unlabeled images the
quantity is the same. Under an annealed rate changes fall with the rate itself, whatever the network learns.
"""

from __future__ import annotations

from torch import Tensor

from lightning_factorlens.metrics.probabilities import log_probabilities


def prediction_changes(before: Tensor, outputs: Tensor) -> float:
    """Share of the images whose class changed.

    Args:
        before: Outputs at the earlier look, shape (N, K).
        outputs: At this look, for the same images.

    Returns:
        From 0 to 1.
    """
    return float((before.argmax(1) != outputs.argmax(1)).double().mean())


def mean_total_variation(before: Tensor, outputs: Tensor) -> float:
    """Mean total variation ½ Σ_k |p_k − q_k| between the predictions of two looks, which also sees small changes.

    Args:
        before: Outputs at the earlier look, shape (N, K).
        outputs: At this look, for the same images.

    Returns:
        From 0 to 1.
    """
    p, q = log_probabilities(before).exp(), log_probabilities(outputs).exp()
    return float(0.5 * (p - q).abs().sum(1).double().mean())

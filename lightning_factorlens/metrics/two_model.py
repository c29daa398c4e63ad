"""Signals that need a second network, trained alike with another seed: twice the training, no labels."""

from __future__ import annotations

from torch import Tensor

from lightning_factorlens.metrics.consistency import disagreement_rate, soft_consistency


def model_disagreement(outputs: Tensor, other: Tensor) -> float:
    """Share of the images for which two networks name different classes.

    Equals the expected test error where the ensemble is calibrated (Jiang et al. 2022, arXiv 2106.13799).

    Args:
        outputs: Of one network, shape (N, K).
        other: Of the other, for the same images.

    Returns:
        From 0 to 1.
    """
    return disagreement_rate(outputs, [other])


def model_cross_entropy(outputs: Tensor, other: Tensor) -> float:
    """Symmetric cross-entropy between the predictions of two networks: the same question, with their confidence.

    Args:
        outputs: Of one network, shape (N, K).
        other: Of the other, for the same images.

    Returns:
        ≥ 0, in nats.
    """
    return soft_consistency(outputs, [other])

"""Signals from two networks that were trained alike with different seeds: twice the training, but no labels."""

from __future__ import annotations

from torch import Tensor

from benchmarks.stopping.signals.prediction_consistency import disagreement_rate, soft_consistency


def model_disagreement(outputs: Tensor, other: Tensor) -> float:
    """Fraction of the images for which two networks predict different classes.

    It equals the expected test error where the ensemble is calibrated: Jiang, Nagarajan, Baek and Kolter (2022),
    "Assessing generalization of SGD via disagreement", arXiv 2106.13799.

    Args:
        outputs: Outputs of one network, shape (N, K).
        other: Outputs of the other network for the same images.

    Returns:
        From 0 to 1.
    """
    return disagreement_rate(outputs, [other])


def model_cross_entropy(outputs: Tensor, other: Tensor) -> float:
    """Symmetric cross-entropy between the predictions of two networks, which also depends on their confidence.

    Args:
        outputs: Outputs of one network, shape (N, K).
        other: Outputs of the other network for the same images.

    Returns:
        A number ≥ 0, in nats.
    """
    return soft_consistency(outputs, [other])

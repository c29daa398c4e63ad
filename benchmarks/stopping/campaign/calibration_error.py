"""How far stated probabilities are from the frequencies of what they speak of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Bins of equal width, as in Guo et al. (2017), "On calibration of modern neural networks".
N_BINS = 10


@dataclass(frozen=True)
class Bin:
    """The statements of one range of probabilities.

    Attributes:
        low: Lower end of the range; its width is 1 / `N_BINS`.
        share: Weight of its statements among all.
        stated: Their mean probability.
        observed: The frequency with which they were true.
    """

    low: float
    share: float
    stated: float
    observed: float


def calibration_curve(stated: np.ndarray, is_true: np.ndarray, weights: np.ndarray) -> list[Bin]:
    """The bins that have statements.

    Args:
        stated: Probabilities, shape (n,).
        is_true: 1 where the statement was true, else 0, shape (n,).
        weights: Weights, shape (n,).
    """
    places = np.minimum((stated * N_BINS).astype(int), N_BINS - 1)
    bins = []
    for k in range(N_BINS):
        inside = places == k
        total = weights[inside].sum()
        if total > 0:
            mean_stated = float(weights[inside] @ stated[inside] / total)
            mean_true = float(weights[inside] @ is_true[inside] / total)
            bins.append(Bin(k / N_BINS, float(total / weights.sum()), mean_stated, mean_true))
    return bins


def calibration_error(curve: Sequence[Bin]) -> float:
    """The expected calibration error: the weighted mean distance of the bins from the diagonal."""
    return sum(each.share * abs(each.stated - each.observed) for each in curve)


def brier_score(stated: np.ndarray, is_true: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean squared distance of the probabilities from 0 or 1; a constant one half has 0.25."""
    return float(weights @ (stated - is_true) ** 2 / weights.sum())


def ranking(stated: np.ndarray, is_true: np.ndarray, weights: np.ndarray) -> float:
    """The area under the receiver operating characteristic: how well the probabilities separate true from false."""
    _, places = np.unique(stated, return_inverse=True)
    true_weights = np.bincount(places, weights * is_true)
    false_weights = np.bincount(places, weights * (1 - is_true))
    below = np.cumsum(false_weights) - false_weights / 2  # equal statements count half
    total = true_weights.sum() * false_weights.sum()
    return float(true_weights @ below / total) if total else float("nan")

"""Fits the logistic model of the probability that the best epoch is past, with coefficients of known signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_factorlens.stopping.probability_features import FALL, RISE, SHARE, SINCE
from lightning_factorlens.stopping.probability_model import LogisticModel

#: The signs that coefficients may have: a feature that speaks for a best epoch behind never speaks against it.
SIGNS = {SINCE: 1, RISE: 1, SHARE: 1, FALL: -1}
#: Strength of the ridge penalty, on features of unit variance, while each task weighs 1.
RIDGE = 0.3
MAX_STEPS = 100


@dataclass(frozen=True)
class Sample:
    """One measurement of a recorded run.

    Attributes:
        features: From `SeriesFeatures`.
        is_behind: Whether the best epoch of the run was at or before it.
        task: Name of the run's task.
        run: Name of the run.
        weight: Its weight; those of a task add up to 1.
    """

    features: dict[str, float]
    is_behind: bool
    task: str
    run: str
    weight: float


def fit(samples: Sequence[Sample], names: Sequence[str]) -> LogisticModel:
    """Fits a model; features whose coefficient would have the wrong sign are left out, one after the other.

    Args:
        samples: The measurements.
        names: The features to use.

    Returns:
        A model with a coefficient for each name, 0 for features that were left out.
    """
    used = list(names)
    while True:
        model = _fit_unconstrained(samples, used)
        wrong = [name for name in used if model.coefficients[name] * SIGNS[name] < 0]
        if not wrong:
            return LogisticModel(model.intercept, {**dict.fromkeys(names, 0.0), **model.coefficients})
        used.remove(max(wrong, key=lambda name: abs(model.coefficients[name])))


def _fit_unconstrained(samples: Sequence[Sample], names: Sequence[str]) -> LogisticModel:
    """Newton's method on the penalised likelihood of the standardised features."""
    values = np.array([[sample.features[name] for name in names] for sample in samples]).reshape(len(samples), -1)
    labels = np.array([float(sample.is_behind) for sample in samples])
    weights = np.array([sample.weight for sample in samples])
    center = weights @ values / weights.sum()
    scale = np.sqrt(weights @ (values - center) ** 2 / weights.sum()) + 1e-12
    design = np.column_stack([np.ones(len(values)), (values - center) / scale])
    penalty = RIDGE * np.eye(design.shape[1])
    penalty[0, 0] = 1e-9
    solution = np.zeros(design.shape[1])
    for _ in range(MAX_STEPS):
        probability = 1 / (1 + np.exp(-design @ solution))
        gradient = design.T @ (weights * (probability - labels)) + penalty @ solution
        curvature = weights * probability * (1 - probability)
        step = np.linalg.solve(design.T @ (curvature[:, None] * design) + penalty, gradient)
        solution -= step
        if np.abs(step).max() < 1e-10:
            break
    slopes = solution[1:] / scale
    return LogisticModel(float(solution[0] - slopes @ center), dict(zip(names, map(float, slopes))))


def left_out(samples: Sequence[Sample], names: Sequence[str]) -> np.ndarray:
    """The probability of every sample from a model that was fitted without the sample's task.

    Args:
        samples: The measurements.
        names: The features to use.
    """
    result = np.zeros(len(samples))
    for task in dict.fromkeys(sample.task for sample in samples):
        others = [sample for sample in samples if sample.task != task]
        model = fit(others, names)
        for i, sample in enumerate(samples):
            if sample.task == task:
                result[i] = model.probability(sample.features)
    return result

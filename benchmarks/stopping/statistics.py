"""Intervals of means: tasks are drawn first and then the records within a task, because seeds of a task are alike."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

import numpy as np

DRAWS = 10_000
LEVEL = 0.95


def bootstrap_weights(tasks: Sequence[str], draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """The number of times that each record is drawn, shape (draws, records).

    Args:
        tasks: The name of each record's task.
        draws: Number of draws.
        seed: Seed of the draws, so that every rule is scored on the same ones.
    """
    generator = np.random.default_rng(seed)
    names = list(dict.fromkeys(tasks))
    members = [np.flatnonzero([t == name for t in tasks]) for name in names]
    weights = np.zeros((draws, len(tasks)))
    rows = np.arange(draws)
    for _ in names:
        drawn = generator.integers(len(names), size=draws)
        for k, records in enumerate(members):
            selected = rows[drawn == k]
            picks = generator.integers(len(records), size=(len(selected), len(records)))
            for column in picks.T:
                weights[selected, records[column]] += 1
    return weights


def interval(values: Sequence[float], weights: np.ndarray) -> tuple[float, float]:
    """The percentile interval of the mean."""
    means = weights @ np.asarray(values, dtype=float) / weights.sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def mean_and_interval(values: Sequence[float], weights: np.ndarray, places: str) -> str:
    """The mean and its interval in words, e.g. ``0.22 (0.13 to 0.34)``.

    Args:
        values: One value per record.
        weights: The result of `bootstrap_weights`.
        places: Format of each of the three numbers, e.g. ``"+.2f"``.
    """
    low, high = interval(values, weights)
    return f"{mean(values):{places}} ({low:{places}} to {high:{places}})"

"""The statistics of the tables: means with intervals, orderings, rank correlations and sign tests.

Intervals are 95 % percentile bootstrap intervals of 10,000 draws. Entries that share a seed are drawn together. With so
few seeds such an interval is too narrow rather than too wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, spearmanr

from benchmarks.stopping.statistics import LEVEL, bootstrap_weights, interval

Values = Sequence[float | None] | np.ndarray


class Estimate(NamedTuple):
    """A number with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return self.signed("+.2f")

    def signed(self, spec: str) -> str:
        """The number and its interval, formatted; a dash if it is NaN."""
        if math.isnan(self.value):
            return "–"
        return f"{self.value:{spec}} ({self.low:{spec}} to {self.high:{spec}})"

    @property
    def side(self) -> int:
        """1 if the interval lies above 0, −1 if it lies below, 0 if it contains 0 or is NaN."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def seed_weights(seeds: Sequence[int]) -> np.ndarray:
    """The number of times that each entry is drawn; entries that share a seed are drawn together.

    Args:
        seeds: The seed of each entry.

    Returns:
        Shape (draws, entries).
    """
    names = sorted(set(seeds))
    drawn = bootstrap_weights([str(seed) for seed in names])
    return drawn[:, [names.index(seed) for seed in seeds]]


def mean(values: Values, weights: np.ndarray) -> Estimate:
    """The mean of the finite values; NaN if there are none."""
    array = np.array(values, dtype=float)
    finite = np.isfinite(array)
    drawn = weights[:, finite]
    drawn = drawn[drawn.sum(1) > 0]
    if not len(drawn):
        return Estimate(math.nan, math.nan, math.nan)
    return Estimate(float(array[finite].mean()), *interval(array[finite], drawn))


def ordering(levels: Values, values: Values, weights: np.ndarray) -> Estimate:
    """Kendall's τ over the pairs whose levels differ, which is Somers' D of the values given the levels.

    1 if of any two entries the one with the higher level has the higher value, −1 if it has the lower, 0 by chance.

    Args:
        levels: The level of each entry, by which the claim orders.
        values: The value of each entry, which should have the same order.
        weights: The draws, from `seed_weights`.
    """
    above = _signs_of_differences(values)
    over = _signs_of_differences(levels)
    agree = above * over
    differ = np.abs(over)

    def tau(drawn: np.ndarray) -> np.ndarray:
        pairs = ((drawn @ differ) * drawn).sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return ((drawn @ agree) * drawn).sum(1) / pairs

    value = float(tau(np.ones((1, len(above))))[0])
    low, high = np.nanquantile(tau(weights), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def _signs_of_differences(values: Values) -> np.ndarray:
    array = np.array(values, float)
    return np.sign(np.subtract.outer(array, array))


def spearman(a: Values, b: Values) -> float:
    """Spearman's rank correlation over the entries where both series are finite; NaN if one does not vary."""
    x = np.array(a, dtype=float)
    y = np.array(b, dtype=float)
    finite = np.isfinite(x) & np.isfinite(y)
    x = x[finite]
    y = y[finite]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(spearmanr(x, y).statistic)


def differences(series: Values) -> np.ndarray:
    """First differences; NaN next to a missing value."""
    return np.diff(np.array(series, dtype=float))


def sign_test(values: Values) -> tuple[int, int, float]:
    """The number of values below 0, the number that are not 0, and the two-sided p-value of a sign test."""
    array = np.array(values, dtype=float)
    below = int((array < 0).sum())
    count = int((array != 0).sum())
    p = float(binomtest(below, count).pvalue) if count else 1.0
    return below, count, p

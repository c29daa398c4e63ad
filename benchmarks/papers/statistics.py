"""What the tables are made of: means with intervals, orderings, rank correlations, sign tests.

Intervals are 95 %, percentile bootstrap, 10,000 draws. What shares a seed is drawn together. With so few seeds such
an interval is too narrow rather than too wide.
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
        """The number and its interval, formatted; nothing where there is none."""
        if math.isnan(self.value):
            return "–"
        return f"{self.value:{spec}} ({self.low:{spec}} to {self.high:{spec}})"

    @property
    def side(self) -> int:
        """1 when the interval lies above 0, −1 when below, 0 when 0 is in it or there is none."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def seed_weights(seeds: Sequence[int]) -> np.ndarray:
    """How often each entry is drawn when seeds are: what shares a seed is drawn together.

    Args:
        seeds: One an entry.

    Returns:
        Shape (draws, entries).
    """
    names = sorted(set(seeds))
    drawn = bootstrap_weights([str(seed) for seed in names])
    return drawn[:, [names.index(seed) for seed in seeds]]


def mean(values: Values, weights: np.ndarray) -> Estimate:
    """The mean of what is there; NaN of nothing."""
    array = np.array(values, dtype=float)
    there = np.isfinite(array)
    drawn = weights[:, there]
    drawn = drawn[drawn.sum(1) > 0]
    if not len(drawn):
        return Estimate(math.nan, math.nan, math.nan)
    return Estimate(float(array[there].mean()), *interval(array[there], drawn))


def ordering(levels: Values, values: Values, weights: np.ndarray) -> Estimate:
    """Kendall's τ over the pairs whose levels differ, which is Somers' D of the values given the levels.

    1 when of any two entries the one of the higher level has the higher value, −1 when the lower, 0 by chance.

    Args:
        levels: What the claim orders by, one an entry.
        values: What should follow, one an entry.
        weights: From `seed_weights`.
    """
    above, over = (np.sign(np.subtract.outer(a, a)) for a in (np.array(values, float), np.array(levels, float)))
    agree, differ = above * over, np.abs(over)

    def tau(drawn: np.ndarray) -> np.ndarray:
        pairs = ((drawn @ differ) * drawn).sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return ((drawn @ agree) * drawn).sum(1) / pairs

    value = float(tau(np.ones((1, len(above))))[0])
    low, high = np.nanquantile(tau(weights), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def spearman(a: Values, b: Values) -> float:
    """Spearman's rank correlation of two series where both have a value; NaN when one does not vary."""
    x, y = np.array(a, dtype=float), np.array(b, dtype=float)
    there = np.isfinite(x) & np.isfinite(y)
    x, y = x[there], y[there]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(spearmanr(x, y).statistic)


def differences(series: Values) -> np.ndarray:
    """First differences; NaN beside a gap."""
    return np.diff(np.array(series, dtype=float))


def sign_test(values: Values) -> tuple[int, int, float]:
    """How many are below 0, of how many that are not 0, and the two-sided chance of such a split."""
    array = np.array(values, dtype=float)
    below, count = int((array < 0).sum()), int((array != 0).sum())
    return below, count, float(binomtest(below, count).pvalue) if count else 1.0

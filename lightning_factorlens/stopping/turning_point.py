"""A turning point with a stated confidence: stop when the values since the minimum rise more than chance lets them.

The Mann–Kendall test for trend (Mann 1945, Kendall 1975) on the unsmoothed values that follow the minimum: S counts the
pairs that rise less those that fall, and its distribution under values in random order is known whatever their noise.
After the k-th value the test's level is (1 − confidence) / (k (k + 1)), so that all tests of one minimum together
err with at most 1 − confidence. Values that wander, each near the last, are not in random order and err more often.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

from lightning_factorlens.stopping.rule import ScoringRule, State
from lightning_factorlens.stopping.smoothing import DEFAULT_SMOOTHING, Smoothing

#: Up to so many values the distribution of S is exact, from there on normal.
EXACT = 40


@dataclass(frozen=True)
class MannKendall(ScoringRule):
    """Stops when the signal has turned up, with the confidence asked for.

    Attributes:
        confidence: Chance that values without a trend since the minimum are never taken for a rise.
        smoothing: Of the signal, for finding the minimum alone; the test takes the values as they are.
    """

    confidence: float = 0.95
    smoothing: Smoothing = DEFAULT_SMOOTHING

    def __post_init__(self) -> None:
        if not isinstance(self.confidence, float) or not 0 < self.confidence < 1:
            raise ValueError(f"confidence: must lie between 0 and 1, found {self.confidence!r}.")

    def _start(self) -> State:
        return {"smoothing": self.smoothing.start(), "lowest": None, "since": [], "S": 0}

    def _score(self, state: State, value: float) -> tuple[State, float]:
        state["smoothing"], score = self.smoothing.step(state["smoothing"], value)
        return state, score

    def _decide(self, state: State, value: float, score: float) -> tuple[State, bool, str]:
        if state["lowest"] is None or score < state["lowest"]:
            return {**state, "lowest": score, "since": [], "S": 0}, False, f"a new minimum of {score:.4g}"
        since = state["since"]
        S = state["S"] + sum((value > v) - (value < v) for v in since)
        since = [*since, value]
        k = len(since)
        chance = kendall_tail(k, S)
        stop = chance <= (1 - self.confidence) / (k * (k + 1))
        reason = (
            f"{k} looks since the minimum of {state['lowest']:.4g}, a rise like theirs has a chance of {chance:.2g}"
        )
        return {**state, "since": since, "S": S}, stop, reason


def kendall_tail(n: int, S: int) -> float:
    """Chance that n values in random order have a Kendall statistic of at least S; an upper bound where some are equal.

    Args:
        n: How many values.
        S: Rising pairs less falling pairs.

    Returns:
        From 0 to 1: exact for n ≤ 40, normal with continuity correction beyond.
    """
    pairs = n * (n - 1) // 2
    if pairs == 0 or -pairs >= S:
        return 1.0
    if n > EXACT:
        return 1 - NormalDist(sigma=(n * (n - 1) * (2 * n + 5) / 18) ** 0.5).cdf(S - 1)
    falling = (pairs - S) // 2  # pairs in falling order, at most
    return sum(_inversions(n)[: falling + 1])


@cache
def _inversions(n: int) -> tuple[float, ...]:
    """Share of the orders of n values with 0, 1, 2, … pairs in falling order."""
    shares = [1.0]
    for m in range(2, n + 1):  # the m-th value falls below 0 … m − 1 of those before it, all alike likely
        wider, window = [], 0.0
        for i in range(len(shares) + m - 1):
            window += shares[i] if i < len(shares) else 0.0
            window -= shares[i - m] if i >= m else 0.0
            wider.append(max(window, 0.0) / m)
        shares = wider
    return tuple(shares)

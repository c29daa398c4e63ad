"""Mann–Kendall test for an upward trend of the values since the minimum, as a stopping rule."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

from lightning_factorlens.stopping.lowest_score import LowestScoreRule
from lightning_factorlens.stopping.rule import State
from lightning_factorlens.stopping.smoothing import DEFAULT_SMOOTHING, Smoothing

#: The distribution of S is computed exactly up to this number of values and approximated by a normal one beyond.
MAX_EXACT = 40


@dataclass(frozen=True)
class MannKendall(LowestScoreRule):
    """Stops when the values since the minimum rise more than values in random order do, at a given confidence.

    The test for trend of Mann (1945), "Nonparametric tests against trend", and Kendall (1975), "Rank Correlation
    Methods", is applied to the unsmoothed values x_1, …, x_k that follow the minimum. Its statistic
    S = Σ_{i<j} sign(x_j − x_i) has a known distribution if the values are in random order, whatever their noise. The
    level of the test after the k-th value is (1 − confidence) / (k (k + 1)); these levels sum to 1 − confidence over
    all k, which bounds the probability of a false stop after one minimum. The bound does not hold for autocorrelated
    values, since these are not in random order.

    Attributes:
        confidence: Probability, between 0 and 1, that values without a trend after a minimum never cause a stop.
        smoothing: Applied to find the minimum; the test uses the unsmoothed values.

    Raises:
        ValueError: ``confidence`` is no float between 0 and 1.

    Example:
        >>> from lightning_factorlens.stopping import MannKendall, Smoothing, replay
        >>> rule = MannKendall(confidence=0.9, smoothing=Smoothing())
        >>> decisions = replay(rule, [2.0, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7])
        >>> [decision.stop for decision in decisions]
        [False, False, False, False, False, False, False, True, True]
        >>> decisions[-1].best_epoch
        2
    """

    confidence: float = 0.95
    smoothing: Smoothing = DEFAULT_SMOOTHING

    def __post_init__(self) -> None:
        if not isinstance(self.confidence, float) or not 0 < self.confidence < 1:
            raise ValueError(f"confidence: must lie between 0 and 1, found {self.confidence!r}.")

    def _initial_state(self) -> State:
        return {"lowest": None, "values_since": [], "S": 0}

    def _decide(self, state: State, value: float, score: float) -> tuple[State, bool, str]:
        if state["lowest"] is None or score < state["lowest"]:
            return {**state, "lowest": score, "values_since": [], "S": 0}, False, f"a new minimum of {score:.4g}"
        S = state["S"]
        for earlier in state["values_since"]:
            S += (value > earlier) - (value < earlier)
        values_since = [*state["values_since"], value]
        k = len(values_since)
        p_value = kendall_tail(k, S)
        stop = p_value <= (1 - self.confidence) / (k * (k + 1))
        reason = (
            f"{k} measurements since the minimum of {state['lowest']:.4g}, "
            f"their rise has a p-value of {p_value:.2g} by the Mann–Kendall test"
        )
        return {**state, "values_since": values_since, "S": S}, stop, reason


def kendall_tail(n: int, S: int) -> float:
    """Probability that n values in random order have a Kendall statistic of at least S.

    If some of the values are equal, the result is an upper bound. Beyond `MAX_EXACT` values the distribution is
    approximated by a normal one with variance n (n − 1) (2 n + 5) / 18 and a continuity correction (Kendall 1975).

    Args:
        n: Number of values.
        S: Number of rising pairs minus number of falling pairs.

    Returns:
        The probability, between 0 and 1.

    Example:
        >>> kendall_tail(3, 3)  # one of the six orders of three values rises throughout
        0.16666666666666666
    """
    n_pairs = n * (n - 1) // 2
    if n_pairs == 0 or -n_pairs >= S:
        return 1.0
    if n > MAX_EXACT:
        return 1 - NormalDist(sigma=(n * (n - 1) * (2 * n + 5) / 18) ** 0.5).cdf(S - 1)
    max_falling = (n_pairs - S) // 2
    return sum(_inversion_probabilities(n)[: max_falling + 1])


@cache
def _inversion_probabilities(n: int) -> tuple[float, ...]:
    """Probability that a random order of n values has 0, 1, 2, … falling pairs."""
    probabilities = [1.0]
    for m in range(2, n + 1):  # the m-th value forms 0 to m − 1 falling pairs with those before it, equally likely
        extended = []
        window_sum = 0.0
        for i in range(len(probabilities) + m - 1):
            if i < len(probabilities):
                window_sum += probabilities[i]
            if i >= m:
                window_sum -= probabilities[i - m]
            extended.append(max(window_sum, 0.0) / m)
        probabilities = extended
    return tuple(probabilities)

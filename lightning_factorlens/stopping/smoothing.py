"""Causal smoothing of a metric: a running median against outliers, then an exponential mean against noise.

``Smoothing`` is the filter, ``Smoothed`` applies it once for a whole tree of rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median

from lightning_factorlens._validation import check_int
from lightning_factorlens.stopping.rule import Decision, EpochInfo, RuleWrapper, State

#: Change of a value, as a fraction of its distance from the mean of the earlier ones, below which it is a repetition.
REPEATS = 1e-4


@dataclass(frozen=True)
class Smoothing:
    """A running median followed by an exponentially weighted mean; with the default options the identity.

    s_t = weight · median(c_{t−window+1}, …, c_t) + (1 − weight) · s_{t−1}, with s_1 = c_1. The exponentially weighted
    mean is that of Roberts (1959), "Control chart tests based on geometric moving averages".

    After a jump to a new level the mean approaches that level for dozens of measurements, which would all count as
    improvements. Where a value repeats the one before, up to `REPEATS` of its distance from the mean, there is no noise
    to average out, and s_t is the median itself.

    Attributes:
        window: Number of values in the median, at least 1; the first medians use the values that exist so far.
        weight: Weight of the new median in the mean, above 0 and at most 1; with 1 there is no exponential mean.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> smoothing = Smoothing(window=3, weight=0.5)
        >>> state = smoothing.start()
        >>> for value in [4.0, 4.0, 100.0, 2.0]:
        ...     state, smoothed = smoothing.step(state, value)
        ...     print(smoothed)
        4.0
        4.0
        4.0
        4.0
    """

    window: int = 1
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_int("window", self.window, 1)
        if not isinstance(self.weight, (int, float)) or not 0 < self.weight <= 1:
            raise ValueError(f"weight: must be above 0 and at most 1, found {self.weight!r}.")

    def start(self) -> State:
        """Returns the state before the first value."""
        return {"recent": [], "smoothed": None}

    def step(self, state: State, value: float) -> tuple[State, float]:
        """Processes one finite value and returns the new state and the newest value of the smoothed series."""
        recent = [*state["recent"], value][-self.window :]
        middle = float(median(recent))
        previous = state["smoothed"]
        smoothed = middle
        if previous is not None and not self._repeats(state, value):
            smoothed = self.weight * middle + (1 - self.weight) * previous
        return {"recent": recent, "smoothed": smoothed}, smoothed

    def _repeats(self, state: State, value: float) -> bool:
        """Whether a value stays at the level of the one before, to which the mean has still to come."""
        change = abs(value - state["recent"][-1])
        distance = abs(value - state["smoothed"])
        return change <= REPEATS * distance


#: Leaves every value as it is.
NO_SMOOTHING = Smoothing()
#: A running median of three values and a weight of one half.
DEFAULT_SMOOTHING = Smoothing(window=3, weight=0.5)


@dataclass(frozen=True)
class Smoothed(RuleWrapper):
    """Passes the smoothed metric to the wrapped rule.

    The smoothing goes on where a wrapped rule starts anew, for example after a wait for the learning rate. A rule that
    applies a smoothing of its own would start from a single unsmoothed value there, and the noise of that value would
    count as a minimum.

    Attributes:
        rule: A rule that does not smooth by itself. What it reads with `OnMetric` is not smoothed.
        smoothing: The filter.

    Example:
        >>> from lightning_factorlens.stopping import Patience, replay
        >>> rule = Smoothed(Patience(patience=2), Smoothing(weight=0.5))
        >>> [decision.score for decision in replay(rule, [4.0, 2.0, 4.0])]
        [4.0, 3.0, 3.5]
        >>> replay(rule, [4.0, 2.0, 4.0])[-1].reason
        'smoothed: no value below 3 for 1 measurements, patience is 2'
    """

    smoothing: Smoothing = DEFAULT_SMOOTHING

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.smoothing, Smoothing):
            raise ValueError(f"smoothing: must be a Smoothing object, found {self.smoothing!r}; write Smoothing(…).")

    def start(self) -> State:
        """Returns the state before the first measurement."""
        return {"rule": self.rule.start(), "smoothing": self.smoothing.start()}

    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Decision]:
        """Smooths the value for the wrapped rule; a missing value leaves the state of the smoothing unchanged."""
        smoothing_state = state["smoothing"]
        score = value
        if math.isfinite(value):
            smoothing_state, score = self.smoothing.step(smoothing_state, value)
        rule_state, decision = self.rule.step(state["rule"], score, info)
        # the numbers of the reason are not those of the metric, which the user sees beside it
        decision = replace(decision, reason=f"smoothed: {decision.reason}")
        return {"rule": rule_state, "smoothing": smoothing_state}, decision

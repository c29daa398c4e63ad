"""The base class of rules that keep the measurement with the lowest smoothed value."""

from __future__ import annotations

import math
from abc import abstractmethod

from lightning_factorlens.stopping.rule import Decision, EpochInfo, Rule, State
from lightning_factorlens.stopping.smoothing import NO_SMOOTHING, Smoothing


class LowestScoreRule(Rule):
    """A rule whose best measurement is the one with the lowest score so far, the first one among equal scores.

    The score is the smoothed value. Subclasses are dataclasses with a field ``smoothing``.
    """

    @property
    @abstractmethod
    def smoothing(self) -> Smoothing:
        """The smoothing that turns values into scores."""

    def start(self) -> State:
        """Returns the state before the first measurement."""
        return {"best_epoch": None, "best": math.inf, "smoothing": self.smoothing.start(), **self._initial_state()}

    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Decision]:
        """Smooths the value, updates the best measurement, then decides."""
        if not math.isfinite(value):
            return state, Decision(False, state["best_epoch"], math.nan, "this measurement has no value")
        smoothing_state, score = self.smoothing.step(state["smoothing"], value)
        state = {**state, "smoothing": smoothing_state}
        if score < state["best"]:
            state = {**state, "best": score, "best_epoch": info.epoch}
        state, stop, reason = self._decide(state, value, score)
        if self.smoothing != NO_SMOOTHING:
            reason = f"smoothed: {reason}"  # its numbers are not those of the metric, which the user sees beside it
        return state, Decision(stop, state["best_epoch"], score, reason)

    @abstractmethod
    def _initial_state(self) -> State:
        """Returns what the rule keeps in addition to the best measurement and the state of the smoothing."""

    @abstractmethod
    def _decide(self, state: State, value: float, score: float) -> tuple[State, bool, str]:
        """Returns the new state, whether to stop, and why; ``state["best"]`` already includes this measurement."""

"""Smoothed: one smoothing of the signal for a whole tree of rules, which goes on where a rule inside begins anew.

A rule that smooths for itself starts from a single, unsmoothed look after every wait, and that look's noise then passes
for a minimum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lightning_factorlens.stopping.rule import Decision, EpochInfo, State, WrappingRule
from lightning_factorlens.stopping.smoothing import DEFAULT_SMOOTHING, Smoothing


@dataclass(frozen=True)
class Smoothed(WrappingRule):
    """A rule that sees the smoothed signal.

    Attributes:
        rule: One that does not smooth for itself. What it reads ``On`` another signal is left as it is.
        smoothing: Of the signal.
    """

    smoothing: Smoothing = DEFAULT_SMOOTHING

    def start(self) -> State:
        """Nothing seen."""
        return {"rule": self.rule.start(), "smoothing": self.smoothing.start()}

    def step(self, state: State, value: float, look: EpochInfo) -> tuple[State, Decision]:
        """Smooths, then asks; a look without a value leaves the smoothing as it was."""
        smoothing, score = state["smoothing"], value
        if math.isfinite(value):
            smoothing, score = self.smoothing.step(smoothing, value)
        inner, verdict = self.rule.step(state["rule"], score, look)
        return {"rule": inner, "smoothing": smoothing}, verdict

"""Risen: stop when the signal has stayed a given share above its lowest value (Prechelt's GL criterion, 1998).

Until then the newest look within that share of the lowest counts as the best, so that a signal which creeps up a little
while the network still gets better, as under an annealed learning rate, holds nothing back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lightning_factorlens._validation import check_int
from lightning_factorlens.stopping.rule import Decision, EpochInfo, Rule, State
from lightning_factorlens.stopping.smoothing import NO_SMOOTHING, Smoothing


@dataclass(frozen=True)
class GeneralizationLoss(Rule):
    """Keeps the newest look at most ``share`` above the lowest; stops after ``patience`` looks in a row above that.

    Attributes:
        share: Of the lowest value's size.
        patience: Looks, at least 1.
        smoothing: Of the signal, before anything is compared.
    """

    fraction: float = 0.25
    patience: int = 5
    smoothing: Smoothing = NO_SMOOTHING

    def __post_init__(self) -> None:
        check_int("patience", self.patience, 1)
        if not isinstance(self.fraction, (int, float)) or not 0 <= self.fraction < math.inf:
            raise ValueError(f"share: must be a number ≥ 0, found {self.fraction!r}.")

    def start(self) -> State:
        """Nothing seen."""
        return {"smoothing": self.smoothing.start(), "lowest": math.inf, "best_epoch": None, "above": 0}

    def step(self, state: State, value: float, look: EpochInfo) -> tuple[State, Decision]:
        """Compares the smoothed value with the lowest of all, this one included."""
        if not math.isfinite(value):
            return state, Decision(False, state["best_epoch"], math.nan, "this look has no value")
        smoothing, score = self.smoothing.step(state["smoothing"], value)
        lowest = min(state["lowest"], score)
        within = score <= lowest + self.fraction * abs(lowest)
        best, above = (look.epoch, 0) if within else (state["best_epoch"], state["above"] + 1)
        reason = f"{score:.4g} is {'within' if within else 'above'} {self.fraction:.0%} over the lowest, {lowest:.4g}"
        if not within:
            reason += f", for {above} looks, patience is {self.patience}"
        state = {"smoothing": smoothing, "lowest": lowest, "best_epoch": best, "above": above}
        return state, Decision(above >= self.patience, best, score, reason)

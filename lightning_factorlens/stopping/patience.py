"""Patience: stop when the signal has not come below its best for so many looks (Prechelt 1998)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lightning_factorlens._validation import check_int
from lightning_factorlens.stopping.rule import ScoringRule, State
from lightning_factorlens.stopping.smoothing import NO_SMOOTHING, Smoothing


@dataclass(frozen=True)
class Patience(ScoringRule):
    """Stops after ``patience`` looks in a row without an improvement.

    Attributes:
        patience: Looks, at least 1.
        min_delta: An improvement is one of more than this.
        smoothing: Of the signal, before anything is compared.
    """

    patience: int = 5
    min_delta: float = 0.0
    smoothing: Smoothing = NO_SMOOTHING

    def __post_init__(self) -> None:
        check_int("patience", self.patience, 1)
        if not isinstance(self.min_delta, (int, float)) or not 0 <= self.min_delta < math.inf:
            raise ValueError(f"min_delta: must be a number ≥ 0, found {self.min_delta!r}.")

    def _start(self) -> State:
        return {"smoothing": self.smoothing.start(), "to_beat": math.inf, "waited": 0}

    def _score(self, state: State, value: float) -> tuple[State, float]:
        state["smoothing"], score = self.smoothing.step(state["smoothing"], value)
        return state, score

    def _decide(self, state: State, value: float, score: float) -> tuple[State, bool, str]:
        if score < state["to_beat"] - self.min_delta:
            return {**state, "to_beat": score, "waited": 0}, False, f"improved to {score:.4g}"
        waited = state["waited"] + 1
        reason = f"no look has come below {state['to_beat']:.4g} for {waited} looks, patience is {self.patience}"
        return {**state, "waited": waited}, waited >= self.patience, reason

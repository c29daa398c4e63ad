"""Levelling off: stop when the last looks brought next to nothing of all the improvement so far."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_factorlens._validation import check_int
from lightning_factorlens.stopping.rule import ScoringRule, State
from lightning_factorlens.stopping.smoothing import NO_SMOOTHING, Smoothing


@dataclass(frozen=True)
class Plateau(ScoringRule):
    """Stops when the last ``window`` looks lowered the best by at most ``share`` of what all looks did.

    Attributes:
        window: Looks, at least 1.
        share: Of the fall from the first look to the best; free of the signal's units.
        smoothing: Of the signal, before anything is compared.
    """

    window: int = 5
    fraction: float = 0.02
    smoothing: Smoothing = NO_SMOOTHING

    def __post_init__(self) -> None:
        check_int("window", self.window, 1)
        if not isinstance(self.fraction, (int, float)) or not 0 <= self.fraction < 1:
            raise ValueError(f"share: must be at least 0 and below 1, found {self.fraction!r}.")

    def _start(self) -> State:
        return {"smoothing": self.smoothing.start(), "first": None, "bests": []}

    def _score(self, state: State, value: float) -> tuple[State, float]:
        state["smoothing"], score = self.smoothing.step(state["smoothing"], value)
        return state, score

    def _decide(self, state: State, value: float, score: float) -> tuple[State, bool, str]:
        first = score if state["first"] is None else state["first"]
        bests = [*state["bests"], state["best"]][-self.window - 1 :]
        state = {**state, "first": first, "bests": bests}
        if len(bests) <= self.window:
            return state, False, f"needs {self.window + 1} looks, has {len(bests)}"
        gain, fall = bests[0] - bests[-1], first - bests[-1]
        part = f"{gain / fall:.1%} of the fall so far" if fall > 0 else "nothing, and nothing did before"
        return state, gain <= self.fraction * fall, f"the last {self.window} looks brought {part}"

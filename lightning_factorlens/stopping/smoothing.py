"""Smoothing that sees only the past: a running median against outliers, then an exponential mean against noise.

s_t = weight · median(c_{t−window+1} … c_t) + (1 − weight) · s_{t−1}, s_1 = c_1. The project's first study used a window
of 3 and a weight of ½.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from lightning_factorlens._validation import check_int
from lightning_factorlens.stopping.rule import State


@dataclass(frozen=True)
class Smoothing:
    """The identity unless told otherwise.

    Attributes:
        window: Looks in the median, at first as many as there are; 1 for none.
        weight: Of the new median against what was; 1 for no exponential mean.
    """

    window: int = 1
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_int("window", self.window, 1)
        if not isinstance(self.weight, (int, float)) or not 0 < self.weight <= 1:
            raise ValueError(f"weight: must be above 0 and at most 1, found {self.weight!r}.")

    def start(self) -> State:
        """Nothing seen."""
        return {"recent": [], "smooth": None}

    def step(self, state: State, value: float) -> tuple[State, float]:
        """One value in, the smoothed series' newest out."""
        recent = [*state["recent"], value][-self.window :]
        middle, last = float(median(recent)), state["smooth"]
        smooth = middle if last is None else self.weight * middle + (1 - self.weight) * last
        return {"recent": recent, "smooth": smooth}, smooth


#: Every value as it is.
NO_SMOOTHING = Smoothing()
#: That of the project's first study.
DEFAULT_SMOOTHING = Smoothing(window=3, weight=0.5)

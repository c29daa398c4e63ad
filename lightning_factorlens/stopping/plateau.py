"""Plateau: stop when the last measurements brought only a small fraction of all the improvement so far."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_factorlens._validation import check_int
from lightning_factorlens.stopping.lowest_score import LowestScoreRule
from lightning_factorlens.stopping.rule import State
from lightning_factorlens.stopping.smoothing import NO_SMOOTHING, Smoothing


@dataclass(frozen=True)
class Plateau(LowestScoreRule):
    """Stops when the last ``window`` measurements brought at most ``fraction`` of the improvement of the whole run.

    With the lowest score b_t of the first t measurements and the first score s_1 it stops when
    b_{t−window} − b_t ≤ fraction · (s_1 − b_t). Both sides scale with the metric, so the criterion does not depend on
    the metric's unit or offset. It is a criterion of this package. The related training progress of Prechelt (1998),
    "Early stopping — but when?", divides the mean of the last k values by their minimum, which depends on the offset.

    Attributes:
        window: Number of measurements, at least 1.
        fraction: Fraction of the difference between the first and the lowest score, at least 0 and below 1.
        smoothing: Applied to the metric before anything is compared.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> from lightning_factorlens.stopping import Plateau, replay
        >>> decisions = replay(Plateau(window=2, fraction=0.1), [9.0, 3.0, 1.5, 1.1, 1.0])
        >>> [decision.stop for decision in decisions]
        [False, False, False, False, True]
        >>> decisions[-1].reason
        'the last 2 measurements brought 6.2% of the improvement so far'
    """

    window: int = 5
    fraction: float = 0.02
    smoothing: Smoothing = NO_SMOOTHING

    def __post_init__(self) -> None:
        check_int("window", self.window, 1)
        if not isinstance(self.fraction, (int, float)) or not 0 <= self.fraction < 1:
            raise ValueError(f"fraction: must be at least 0 and below 1, found {self.fraction!r}.")

    def _initial_state(self) -> State:
        return {"first": None, "recent_best": []}

    def _decide(self, state: State, value: float, score: float) -> tuple[State, bool, str]:
        first = score if state["first"] is None else state["first"]
        recent_best = [*state["recent_best"], state["best"]][-self.window - 1 :]
        state = {**state, "first": first, "recent_best": recent_best}
        if len(recent_best) <= self.window:
            return state, False, f"needs {self.window + 1} measurements, has {len(recent_best)}"
        recent_gain = recent_best[0] - recent_best[-1]
        total_gain = first - recent_best[-1]
        if total_gain > 0:
            part = f"{recent_gain / total_gain:.1%} of the improvement so far"
            reason = f"the last {self.window} measurements brought {part}"
        else:
            reason = "no measurement is better than the first one"
        return state, recent_gain <= self.fraction * total_gain, reason

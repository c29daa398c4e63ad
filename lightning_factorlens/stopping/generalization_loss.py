"""Generalization loss: stop when the metric stays more than a given fraction above its lowest value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lightning_factorlens._validation import check_int
from lightning_factorlens.stopping.rule import Decision, EpochInfo, Rule, State
from lightning_factorlens.stopping.smoothing import NO_SMOOTHING, Smoothing


@dataclass(frozen=True)
class GeneralizationLoss(Rule):
    """Stops after ``patience`` measurements in a row that lie more than ``fraction`` above the lowest value.

    The criterion GL_α of Prechelt (1998), "Early stopping — but when?", stops when
    GL(t) = 100 · (E(t) / min_{t' ≤ t} E(t') − 1) exceeds α. Here α = 100 · ``fraction``, the absolute value of the
    minimum makes it usable for metrics below zero, and it must be exceeded ``patience`` times in a row.

    Up to the stop, the newest measurement within the fraction counts as the best, not the lowest one. A metric that
    rises slowly while the network still improves, as under an annealed learning rate, then delays nothing.

    Attributes:
        fraction: Allowed rise as a fraction of the absolute value of the lowest score, at least 0.
        patience: Number of measurements, at least 1.
        smoothing: Applied to the metric before anything is compared.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> from lightning_factorlens.stopping import GeneralizationLoss, replay
        >>> decisions = replay(GeneralizationLoss(fraction=0.25, patience=2), [2.0, 1.0, 1.2, 1.5, 1.6])
        >>> [decision.stop for decision in decisions]
        [False, False, False, False, True]
        >>> [decision.best_epoch for decision in decisions]
        [1, 2, 3, 3, 3]
    """

    fraction: float = 0.25
    patience: int = 5
    smoothing: Smoothing = NO_SMOOTHING

    def __post_init__(self) -> None:
        check_int("patience", self.patience, 1)
        if not isinstance(self.fraction, (int, float)) or not 0 <= self.fraction < math.inf:
            raise ValueError(f"fraction: must be a number ≥ 0, found {self.fraction!r}.")

    def start(self) -> State:
        """Returns the state before the first measurement."""
        return {"smoothing": self.smoothing.start(), "lowest": math.inf, "best_epoch": None, "wait_count": 0}

    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Decision]:
        """Compares the smoothed value with the lowest one so far, this one included."""
        if not math.isfinite(value):
            return state, Decision(False, state["best_epoch"], math.nan, "this measurement has no value")
        smoothing_state, score = self.smoothing.step(state["smoothing"], value)
        lowest = min(state["lowest"], score)
        if score <= lowest + self.fraction * abs(lowest):
            best_epoch = info.epoch
            wait_count = 0
            reason = f"{score:.4g} is within {self.fraction:.0%} of the lowest value, {lowest:.4g}"
        else:
            best_epoch = state["best_epoch"]
            wait_count = state["wait_count"] + 1
            reason = (
                f"{score:.4g} is more than {self.fraction:.0%} above the lowest value, {lowest:.4g}, "
                f"for {wait_count} measurements, patience is {self.patience}"
            )
        state = {"smoothing": smoothing_state, "lowest": lowest, "best_epoch": best_epoch, "wait_count": wait_count}
        return state, Decision(wait_count >= self.patience, best_epoch, score, reason)

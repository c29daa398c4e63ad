"""Patience: stop after a number of measurements in a row without an improvement."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lightning_factorlens._validation import check_int
from lightning_factorlens.stopping.lowest_score import LowestScoreRule
from lightning_factorlens.stopping.rule import State
from lightning_factorlens.stopping.smoothing import NO_SMOOTHING, Smoothing


@dataclass(frozen=True)
class Patience(LowestScoreRule):
    """Stops after ``patience`` measurements in a row without an improvement.

    This is Algorithm 7.1 of Goodfellow, Bengio and Courville (2016), "Deep Learning", and the criterion of Lightning's
    ``EarlyStopping``: a measurement improves if score < (score of the last improvement) − min_delta.

    Attributes:
        patience: Number of measurements, at least 1.
        min_delta: An improvement must be larger than this, in units of the metric; at least 0.
        smoothing: Applied to the metric before anything is compared.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> from lightning_factorlens.stopping import Patience, replay
        >>> decisions = replay(Patience(patience=2), [3.0, 2.0, 2.5, 2.4])
        >>> [decision.stop for decision in decisions]
        [False, False, False, True]
        >>> decisions[-1].best_epoch, decisions[-1].reason
        (2, 'no value below 2 for 2 measurements, patience is 2')
    """

    patience: int = 5
    min_delta: float = 0.0
    smoothing: Smoothing = NO_SMOOTHING

    def __post_init__(self) -> None:
        check_int("patience", self.patience, 1)
        if not isinstance(self.min_delta, (int, float)) or not 0 <= self.min_delta < math.inf:
            raise ValueError(f"min_delta: must be a number ≥ 0, found {self.min_delta!r}.")

    def _initial_state(self) -> State:
        return {"last_improvement": math.inf, "wait_count": 0}

    def _decide(self, state: State, value: float, score: float) -> tuple[State, bool, str]:
        threshold = state["last_improvement"]
        if score < threshold - self.min_delta:
            return {**state, "last_improvement": score, "wait_count": 0}, False, f"improved to {score:.4g}"
        wait_count = state["wait_count"] + 1
        reason = f"no value below {threshold:.4g} for {wait_count} measurements, patience is {self.patience}"
        return {**state, "wait_count": wait_count}, wait_count >= self.patience, reason

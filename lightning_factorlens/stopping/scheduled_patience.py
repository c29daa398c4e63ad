"""Patience that does not count while the learning-rate schedule still has a planned fall ahead."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lightning_factorlens._validation import check_int
from lightning_factorlens.stopping.rule import Decision, EpochInfo, Rule, State
from lightning_factorlens.stopping.schedule import RELATIVE_TOLERANCE


@dataclass(frozen=True)
class ScheduledPatience(Rule):
    """Keeps the lowest value, and stops after ``patience`` measurements without a lower one that count.

    Selecting and stopping are separate here: every measurement is compared, but not every one counts towards the
    patience. A measurement does not count, and the count begins again at 0, while the schedule is known and

    - the learning rate stands still before a planned fall to at most ``drop`` times itself: on such a plateau the
      network jitters at a high rate, and most of the improvement comes with the fall;
    - or the learning rate has been raised above the lowest one so far, and is planned to come down to it again, as
      with warm restarts and one-cycle schedules.

    Under a rate that falls at every epoch, such as a cosine, and where the schedule is unknown, every measurement
    counts. As the kept measurement is always the newest or the one kept before, one checkpoint suffices.

    Attributes:
        patience: Number of measurements, at least 1.
        drop: A planned rate of at most this fraction of the present one counts as a fall, above 0 and below 1.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> from lightning_factorlens.stopping import ScheduledPatience, epoch_infos, replay
        >>> infos = epoch_infos(6, lrs=[1.0, 1.0, 1.0, 0.1, 0.1, 0.1])
        >>> decisions = replay(ScheduledPatience(patience=2), [2.0, 3.0, 3.0, 3.0, 3.0, 3.0], infos)
        >>> [decision.stop for decision in decisions]
        [False, False, False, False, True, True]
        >>> decisions[2].reason
        'no value below 2; the learning rate stays at 1 and will fall to 0.1'
    """

    patience: int = 10
    drop: float = 0.5

    def __post_init__(self) -> None:
        check_int("patience", self.patience, 1)
        if not isinstance(self.drop, (int, float)) or not 0 < self.drop < 1:
            raise ValueError(f"drop: must be above 0 and below 1, found {self.drop!r}.")

    def start(self) -> State:
        """Returns the state before the first measurement."""
        return {"best_epoch": None, "best": math.inf, "wait_count": 0, "last_lr": None, "lowest_lr": math.inf}

    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Decision]:
        """Compares the value with the lowest one, and counts it unless a fall of the rate is planned."""
        hold_reason = self._hold_reason(state, info)
        if info.lr is not None and math.isfinite(info.lr):
            state = {**state, "last_lr": info.lr, "lowest_lr": min(state["lowest_lr"], info.lr)}
        if not math.isfinite(value):
            return state, Decision(False, state["best_epoch"], math.nan, "this measurement has no value")
        if value < state["best"]:
            state = {**state, "best": value, "best_epoch": info.epoch, "wait_count": 0}
            return state, Decision(False, info.epoch, value, f"improved to {value:.4g}")
        best = state["best"]
        if hold_reason:
            reason = f"no value below {best:.4g}; {hold_reason}"
            return {**state, "wait_count": 0}, Decision(False, state["best_epoch"], value, reason)
        wait_count = state["wait_count"] + 1
        reason = f"no value below {best:.4g} for {wait_count} measurements, patience is {self.patience}"
        decision = Decision(wait_count >= self.patience, state["best_epoch"], value, reason)
        return {**state, "wait_count": wait_count}, decision

    def _hold_reason(self, state: State, info: EpochInfo) -> str:
        """Why this measurement does not count; empty if it does."""
        lr = info.lr
        future = info.min_future_lr
        if lr is None or future is None or not math.isfinite(lr):
            return ""
        last_lr = state["last_lr"]
        stands_still = last_lr is not None and abs(lr - last_lr) <= RELATIVE_TOLERANCE * lr
        if stands_still and future <= self.drop * lr:
            return f"the learning rate stays at {lr:.3g} and will fall to {future:.3g}"
        lowest = state["lowest_lr"]
        if lr * self.drop >= lowest and future * self.drop <= lowest:
            return f"the learning rate was raised to {lr:.3g} and will come down to {future:.3g}"
        return ""

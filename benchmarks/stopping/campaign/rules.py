"""Building blocks of the second campaign's rules: weighted sums of recorded series, and what decides on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.stopping.replay import Record, Signal, named
from lightning_factorlens.stopping import (
    AfterWarmup,
    Decision,
    EpochInfo,
    Patience,
    Rule,
    ScheduledPatience,
    Smoothed,
    Smoothing,
    State,
)


@dataclass(frozen=True)
class Weighted(Signal):
    """A weighted sum of series.

    Attributes:
        weights: One weight for each of ``names``.
    """

    weights: tuple[float, ...] = ()

    def of(self, record: Record) -> list[float]:
        """The values, one per epoch."""
        total = np.zeros(len(record["hidden"]["test_loss"]))
        for weight, name in zip(self.weights, self.names):
            total = total + weight * np.asarray(named(record, name))
        values: list[float] = total.tolist()
        return values


def weighted(terms: dict[str, float]) -> Weighted:
    """A signal from the weights of its terms."""
    return Weighted(tuple(terms), "sum", 1, tuple(terms.values()))


def scheduled(patience: int = 10, warmup: int = 5, weight: float = 0.5) -> Rule:
    """Lowest smoothed value after a warm-up; the count towards the patience rests while a fall is planned."""
    return Smoothed(AfterWarmup(ScheduledPatience(patience), epochs=warmup), Smoothing(weight=weight))


def unsmoothed(patience: int = 10, warmup: int = 5) -> Rule:
    """`scheduled` for a series that is smoothed already."""
    return AfterWarmup(ScheduledPatience(patience), epochs=warmup)


def blind(patience: int = 10, warmup: int = 5) -> Rule:
    """Patience on the smoothed value after a warm-up, without the schedule."""
    return Smoothed(AfterWarmup(Patience(patience), epochs=warmup), Smoothing(weight=0.5))


@dataclass(frozen=True)
class JitterForgiveness(Rule):
    """Keeps the newest value that lies above the lowest by at most the jitter of the series: an idea not chosen.

    Attributes:
        share: Allowed rise in units of the jitter, the median absolute change over the last ``window`` values.
        patience: Values in a row above that stop the run.
        window: Number of changes.
    """

    share: float = 0.5
    patience: int = 10
    window: int = 10

    def start(self) -> State:
        """Returns the state before the first measurement."""
        return {"recent": [], "lowest": math.inf, "best_epoch": None, "wait_count": 0}

    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Decision]:
        """Compares the value with the lowest one and the jitter."""
        recent = [*state["recent"], value][-self.window - 1 :]
        changes = [abs(b - a) for a, b in zip(recent, recent[1:])]
        lowest = min(state["lowest"], value)
        if value <= lowest + self.share * (median(changes) if changes else 0.0):
            found = {"recent": recent, "lowest": lowest, "best_epoch": info.epoch, "wait_count": 0}
        else:
            found = {**state, "recent": recent, "lowest": lowest, "wait_count": state["wait_count"] + 1}
        return found, Decision(found["wait_count"] >= self.patience, found["best_epoch"], value, "")

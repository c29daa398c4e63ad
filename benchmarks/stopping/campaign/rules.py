"""The rules of the second campaign: weighted sums of the recorded series, and what decides on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.stopping.candidates import blind
from benchmarks.stopping.replay import Candidate, Record, Signal, named
from lightning_factorlens.stopping import (
    AfterWarmup,
    GeneralizationLoss,
    Patience,
    Rule,
    ScheduledPatience,
    Smoothed,
    Smoothing,
    default_rule,
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
        columns = [np.asarray(named(record, name)) for name in self.names]
        total = sum(weight * column for weight, column in zip(self.weights, columns))
        return np.asarray(total, dtype=np.float64).tolist()


def weighted(**terms: float) -> Weighted:
    """A signal from its terms, in which ``__`` stands for ``/`` and ``_p`` for a point: ``divergence__m0_p8=2``."""
    names = tuple(name.replace("__", "/").replace("_p", ".") for name in terms)
    return Weighted(names, "sum", 1, tuple(terms.values()))


def scheduled(patience: int = 10, warmup: int = 5, weight: float = 0.5) -> Rule:
    """Lowest smoothed value after a warm-up; the count towards the patience rests while a fall of the rate is planned."""
    return Smoothed(AfterWarmup(ScheduledPatience(patience), epochs=warmup), Smoothing(weight=weight))

"""The cost of an observation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lightning_factorlens.results.record import Record, Value


@dataclass(frozen=True)
class Cost(Record):
    """Time spent on an observation.

    Attributes:
        seconds: Seconds by phase; ``"total"`` is their sum.
        overhead: The total as a fraction of the time since the last observation; None for the first one.
        n_signal_only: Observations so far that were due and not made in full, because the budget did not allow it;
            None without a budget.
    """

    seconds: Mapping[str, float]
    overhead: float | None = None
    n_signal_only: int | None = None

    def plus(self, later: Cost) -> Cost:
        """The cost of an observation that was completed later, whose phases are added."""
        seconds = dict(self.seconds)
        for phase, more in later.seconds.items():
            seconds[phase] = seconds.get(phase, 0.0) + more
        return replace(self, seconds=seconds)

    def values(self) -> Iterator[Value]:
        """Seconds by phase, the overhead and the number of signal-only observations, where they are known."""
        for phase, seconds in self.seconds.items():
            yield Value("seconds", seconds, phase)
        if self.overhead is not None:
            yield Value("overhead", self.overhead)
        if self.n_signal_only is not None:
            yield Value("signal_only", float(self.n_signal_only))

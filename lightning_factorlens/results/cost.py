"""The cost of an observation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lightning_factorlens.results.record import Record, Value


@dataclass(frozen=True)
class Cost(Record):
    """Time spent on an observation.

    Attributes:
        seconds: Seconds by phase; ``"total"`` is their sum.
        overhead: The total as a fraction of the time since the last observation; None for the first one.
        n_skipped: Observations so far that the budget did not allow; None without a budget.
    """

    seconds: Mapping[str, float]
    overhead: float | None = None
    n_skipped: int | None = None

    def values(self) -> Iterator[Value]:
        """Seconds by phase, the overhead and the number of skipped observations, where they are known."""
        for phase, seconds in self.seconds.items():
            yield Value("seconds", seconds, phase)
        if self.overhead is not None:
            yield Value("overhead", self.overhead)
        if self.n_skipped is not None:
            yield Value("skipped", float(self.n_skipped))

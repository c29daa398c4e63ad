"""What looking costs, and whether the next look can be paid for: a credit account with one rule.

Every second of the run earns ``share`` seconds, looks spend what they take, and a look that could not be paid for is
skipped; its price is what the last took or what all took on average, whichever is more. The first look is on credit:
its price is not known before, and whoever monitors the lens needs a first value. From the second on, the share of all
time spent looking is at most ``share`` when a look ends, but for what that look took beyond its price.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from lightning_factorlens.results import Observation

#: What a checkpoint keeps.
STATE_KEYS = ("total_seconds", "elapsed", "last_seconds", "last_end", "n_measured", "n_skipped", "write_seconds")


@dataclass
class OverheadBudget:
    """Counts seconds from `open` on; those between a checkpoint and the run that resumes it are nobody's.

    Attributes:
        share: Of all time that looks may take, between 0 and 1; None for any.
        clock: Seconds, rising.
        spent: Seconds of all looks.
        elapsed: Seconds of training and looks, up to the last look at the clock.
        last: Seconds of the last look.
        ended: ``elapsed`` when it ended.
        looks: How many were paid for.
        skipped: How many could not be.
        writing: Seconds that the last look took to write. What a look's own writing costs is known only when it is
            written: the last one's stands in for it.
    """

    max_fraction: float | None = None
    clock: Callable[[], float] = time.perf_counter
    total_seconds: float = 0.0
    elapsed: float = 0.0
    last_seconds: float = 0.0
    last_end: float = 0.0
    n_measured: int = 0
    n_skipped: int = 0
    write_seconds: float = 0.0

    def __post_init__(self) -> None:
        allowed = (
            isinstance(self.max_fraction, (int, float))
            and not isinstance(self.max_fraction, bool)
            and 0 < self.max_fraction < 1
        )
        if self.max_fraction is not None and not allowed:
            raise ValueError(
                f"max_overhead: must lie between 0 and 1, or be None for no limit, found {self.max_fraction!r}; "
                "0.02 lets looks take 2 % of the time."
            )
        self._mark: float | None = None

    def start(self) -> None:
        """The clock runs from now on."""
        self._mark = self.clock()

    def elapsed_seconds(self) -> float:
        """Seconds of training and looks so far."""
        if self._mark is not None:
            read = self.clock()
            self.elapsed, self._mark = self.elapsed + read - self._mark, read
        return self.elapsed

    def estimated_seconds(self) -> float:
        """What the next look is taken to cost: as much as the last or as all on average, whichever is more."""
        return max(self.last_seconds, self.total_seconds / self.n_measured) if self.n_measured else 0.0

    def can_afford(self) -> bool:
        """Whether the next look can be paid for."""
        if self.max_fraction is None or not self.n_measured:
            return True
        return self.total_seconds + self.estimated_seconds() <= self.max_fraction * (
            self.elapsed_seconds() + self.estimated_seconds()
        )

    def seconds_until_affordable(self) -> float:
        """Seconds of training until then."""
        if self.max_fraction is None or not self.n_measured:
            return 0.0
        return max(
            0.0,
            (self.total_seconds + self.estimated_seconds()) / self.max_fraction
            - self.estimated_seconds()
            - self.elapsed_seconds(),
        )

    def record(self, seconds: float) -> None:
        """A look has ended that took so long."""
        self.total_seconds, self.last_seconds, self.last_end = (
            self.total_seconds + seconds,
            seconds,
            self.elapsed_seconds(),
        )
        self.n_measured += 1

    @contextmanager
    def exclude_from_price(self) -> Iterator[None]:
        """Inside, time is spent beside the looks, and says nothing about the price of the next: preparing, closing."""
        start = self.elapsed_seconds()
        yield
        self.total_seconds += self.elapsed_seconds() - start

    def with_cost(self, seen: Observation, start: float) -> Observation:
        """A look with what it has cost.

        Args:
            seen: Whose ``seconds`` have its phases.
            start: `now` when it began.
        """
        now = self.elapsed_seconds()
        cost = now - start + self.write_seconds
        seconds = {**seen.seconds, "writing": self.write_seconds, "total": cost}
        share = min(1.0, cost / (now - self.last_end)) if self.n_measured else None
        return replace(
            seen, seconds=seconds, overhead=share, n_skipped=None if self.max_fraction is None else self.n_skipped
        )

    @property
    def overhead(self) -> float:
        """Share of all time spent looking so far; NaN before any."""
        total = self.elapsed_seconds()
        return self.total_seconds / total if total > 0 else math.nan

    def state_dict(self) -> dict[str, float]:
        """Plain numbers."""
        self.elapsed_seconds()
        return {name: getattr(self, name) for name in STATE_KEYS}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Goes on where a checkpoint stopped; the clock runs again from `open` on."""
        for name in STATE_KEYS:
            setattr(self, name, state[name])
        self._mark = None

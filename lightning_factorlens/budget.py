"""The time that observations may take: a credit account with one rule.

Every second of the run earns ``max_fraction`` seconds, an observation spends what it takes, and one that the credit
does not cover is skipped. Its price is estimated as the larger of the last cost and the mean cost. The first
observation is always made: its price is not known before, and callbacks that monitor the lens need a first value. From
the second on, the fraction of all time spent on observations is at most ``max_fraction`` when one ends, except for the
time that this one took beyond its estimate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lightning_factorlens.results import Cost

#: Attributes that a checkpoint keeps.
STATE_KEYS = ("total_seconds", "elapsed", "last_seconds", "last_end", "n_measured", "n_skipped", "write_seconds")


@dataclass
class OverheadBudget:
    """Decides whether there is time for an observation.

    Seconds are counted from `start` on; the time between a checkpoint and the run that resumes it is not counted.

    Example:
        >>> seconds = iter([0.0, 10.0, 10.0, 10.0, 100.0])
        >>> budget = OverheadBudget(0.05, clock=seconds.__next__)
        >>> budget.start()
        >>> budget.record(2.0)  # after 10 seconds
        >>> budget.can_afford(), round(budget.seconds_until_affordable())
        (False, 68)
        >>> budget.can_afford()  # after 100 seconds
        True

    Attributes:
        max_fraction: Fraction of all time that observations may take, between 0 and 1; None for no limit.
        clock: Returns seconds, which never decrease.
        total_seconds: Seconds of all observations.
        elapsed: Seconds of training and observations, up to the last reading of the clock.
        last_seconds: Seconds of the last observation.
        last_end: ``elapsed`` when it ended.
        n_measured: Number of observations that were made.
        n_skipped: Number of observations that were skipped.
        write_seconds: Seconds that writing the last observation took. The cost of writing an observation is known only
            after it is written, so the last one's is reported in its place.

    Raises:
        ValueError: ``max_fraction`` outside (0, 1).
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
        fraction = self.max_fraction
        is_number = isinstance(fraction, (int, float)) and not isinstance(fraction, bool)
        if fraction is not None and not (is_number and 0 < fraction < 1):
            raise ValueError(
                f"max_overhead: must lie between 0 and 1, or be None for no limit, found {fraction!r}; "
                "0.02 lets observations take 2 % of the time."
            )
        self._last_reading: float | None = None

    def start(self) -> None:
        """Starts the clock."""
        self._last_reading = self.clock()

    def elapsed_seconds(self) -> float:
        """Seconds of training and observations so far."""
        if self._last_reading is not None:
            reading = self.clock()
            self.elapsed += reading - self._last_reading
            self._last_reading = reading
        return self.elapsed

    def estimated_seconds(self) -> float:
        """Estimated cost of the next observation: the larger of the last cost and the mean cost."""
        if not self.n_measured:
            return 0.0
        return max(self.last_seconds, self.total_seconds / self.n_measured)

    def can_afford(self) -> bool:
        """Whether the credit covers the next observation."""
        if self.max_fraction is None or not self.n_measured:
            return True
        price = self.estimated_seconds()
        return self.total_seconds + price <= self.max_fraction * (self.elapsed_seconds() + price)

    def seconds_until_affordable(self) -> float:
        """Seconds of training until the credit covers the next observation."""
        if self.max_fraction is None or not self.n_measured:
            return 0.0
        price = self.estimated_seconds()
        needed = (self.total_seconds + price) / self.max_fraction - price
        return max(0.0, needed - self.elapsed_seconds())

    def record(self, seconds: float) -> None:
        """Accounts for an observation that has just ended.

        Args:
            seconds: Its duration.
        """
        self.total_seconds += seconds
        self.last_seconds = seconds
        self.last_end = self.elapsed_seconds()
        self.n_measured += 1

    @contextmanager
    def exclude_from_price(self) -> Iterator[None]:
        """Counts the time inside as overhead, but not towards the price of an observation: preparation and closing."""
        start = self.elapsed_seconds()
        try:
            yield
        finally:
            self.total_seconds += self.elapsed_seconds() - start

    def complete(self, cost: Cost, start: float) -> Cost:
        """The whole cost of an observation.

        Args:
            cost: Its seconds by phase.
            start: `elapsed_seconds` when it began.

        Returns:
            The phases with the time to write, the total since ``start`` and the overhead.
        """
        now = self.elapsed_seconds()
        total = now - start + self.write_seconds
        seconds = {**cost.seconds, "writing": self.write_seconds, "total": total}
        overhead = None
        if self.n_measured:
            overhead = min(1.0, total / (now - self.last_end))
        n_skipped = None if self.max_fraction is None else self.n_skipped
        return Cost(seconds, overhead, n_skipped)

    @property
    def overhead(self) -> float:
        """Fraction of all time spent on observations so far; NaN before any."""
        total = self.elapsed_seconds()
        if total > 0:
            return self.total_seconds / total
        return math.nan

    def state_dict(self) -> dict[str, float]:
        """The state as plain numbers."""
        self.elapsed_seconds()
        state = {}
        for name in STATE_KEYS:
            state[name] = getattr(self, name)
        return state

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continues where a checkpoint stopped; the clock runs again from `start` on."""
        for name in STATE_KEYS:
            setattr(self, name, state[name])
        self._last_reading = None

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

from lightning_factorlens.types import Observation

#: What a checkpoint keeps.
FIELDS = ("spent", "elapsed", "last", "ended", "looks", "skipped", "writing")


@dataclass
class Account:
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

    share: float | None = None
    clock: Callable[[], float] = time.perf_counter
    spent: float = 0.0
    elapsed: float = 0.0
    last: float = 0.0
    ended: float = 0.0
    looks: int = 0
    skipped: int = 0
    writing: float = 0.0

    def __post_init__(self) -> None:
        allowed = isinstance(self.share, (int, float)) and not isinstance(self.share, bool) and 0 < self.share < 1
        if self.share is not None and not allowed:
            raise ValueError(
                f"max_overhead: must lie between 0 and 1, or be None for no limit, found {self.share!r}; "
                "0.02 lets looks take 2 % of the time."
            )
        self._mark: float | None = None

    def open(self) -> None:
        """The clock runs from now on."""
        self._mark = self.clock()

    def now(self) -> float:
        """Seconds of training and looks so far."""
        if self._mark is not None:
            read = self.clock()
            self.elapsed, self._mark = self.elapsed + read - self._mark, read
        return self.elapsed

    def price(self) -> float:
        """What the next look is taken to cost: as much as the last or as all on average, whichever is more."""
        return max(self.last, self.spent / self.looks) if self.looks else 0.0

    def affords(self) -> bool:
        """Whether the next look can be paid for."""
        if self.share is None or not self.looks:
            return True
        return self.spent + self.price() <= self.share * (self.now() + self.price())

    def wait(self) -> float:
        """Seconds of training until then."""
        if self.share is None or not self.looks:
            return 0.0
        return max(0.0, (self.spent + self.price()) / self.share - self.price() - self.now())

    def pay(self, seconds: float) -> None:
        """A look has ended that took so long."""
        self.spent, self.last, self.ended = self.spent + seconds, seconds, self.now()
        self.looks += 1

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Inside, time is spent beside the looks, and says nothing about the price of the next: preparing, closing."""
        start = self.now()
        yield
        self.spent += self.now() - start

    def billed(self, seen: Observation, start: float) -> Observation:
        """A look with what it has cost.

        Args:
            seen: Whose ``seconds`` have its phases.
            start: `now` when it began.
        """
        now = self.now()
        cost = now - start + self.writing
        seconds = {**seen.seconds, "writing": self.writing, "total": cost}
        share = min(1.0, cost / (now - self.ended)) if self.looks else None
        return replace(seen, seconds=seconds, share=share, skipped=None if self.share is None else self.skipped)

    @property
    def overhead(self) -> float:
        """Share of all time spent looking so far; NaN before any."""
        total = self.now()
        return self.spent / total if total > 0 else math.nan

    def state_dict(self) -> dict[str, float]:
        """Plain numbers."""
        self.now()
        return {name: getattr(self, name) for name in FIELDS}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Goes on where a checkpoint stopped; the clock runs again from `open` on."""
        for name in FIELDS:
            setattr(self, name, state[name])
        self._mark = None

"""The time that observations may take: which of them are made in full, and which figures are drawn.

Every second of the run earns ``max_fraction`` seconds, and everything that the lens does spends what it takes: seconds
of the training thread, and processor seconds of the thread beside it. A full observation, or the figures, are made
where the account covers their price, which is what the last one took. The first observation is always full: its price
is not known before, and callbacks that monitor the lens need a first value. So are the last one of the run and its
figures, for which nothing is kept in reserve: short runs would have no others. Observations of the signal alone are
made at any time, so that what is decided from it does not depend on the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lightning_factorlens.budget.time_account import TimeAccount
from lightning_factorlens.results import Cost

#: Fraction of all time that the lens may take unless another one is given.
DEFAULT_FRACTION = 0.1
#: Assumed price of figures before any have been drawn, in seconds; it contains the import of matplotlib.
FIRST_FIGURES_SECONDS = 1.0
#: Shorter times are not divided by.
MIN_SECONDS = 1e-9


@dataclass
class OverheadBudget(TimeAccount):
    """Decides whether there is time for a full observation, and for figures.

    Example:
        >>> seconds = iter([0.0, 8.0, 10.0, 10.0, 10.0, 120.0])
        >>> budget = OverheadBudget(0.05, clock=seconds.__next__)
        >>> budget.start()
        >>> budget.begin()
        >>> budget.record(is_full=True)  # 2 seconds, until 10 seconds have passed
        >>> budget.can_afford(), round(budget.seconds_until_affordable())
        (False, 68)
        >>> budget.can_afford()  # after 120 seconds
        True

    Attributes:
        max_fraction: Fraction of all time that observations may take, between 0 and 1; None for no limit. All other
            attributes are those of `TimeAccount`.

    Raises:
        ValueError: ``max_fraction`` outside (0, 1).
    """

    max_fraction: float | None = None

    def __post_init__(self) -> None:
        fraction = self.max_fraction
        is_number = isinstance(fraction, (int, float)) and not isinstance(fraction, bool)
        if fraction is not None and not (is_number and 0 < fraction < 1):
            raise ValueError(
                f"max_overhead: must lie between 0 and 1, or be None for no limit, found {fraction!r}; "
                "0.02 lets observations take 2 % of the time."
            )
        super().__post_init__()

    def can_afford(self) -> bool:
        """Whether the account covers a full observation now."""
        if self.max_fraction is None or not self.n_full:
            return True
        price = self.full_seconds
        return self.total_seconds + price <= self.max_fraction * (self.elapsed_seconds() + price)

    def seconds_until_affordable(self) -> float:
        """Seconds of training until the account covers a full observation."""
        if self.max_fraction is None or not self.n_full:
            return 0.0
        price = self.full_seconds
        needed = (self.total_seconds + price) / self.max_fraction - price
        return max(0.0, needed - self.elapsed_seconds())

    def can_afford_figures(self) -> bool:
        """Whether the account covers the figures of the current observation."""
        if self.max_fraction is None:
            return True
        now = self.elapsed_seconds()
        spent = self.total_seconds
        if self._is_observing:
            spent += now - self._start_of_observation
        price = self.figure_seconds or FIRST_FIGURES_SECONDS
        return spent + price <= self.max_fraction * (now + price)

    def complete(self, cost: Cost) -> Cost:
        """The cost of the observation that is being made, without that of writing it.

        Args:
            cost: Its seconds by phase.

        Returns:
            The phases, the total since the observation began and the overhead.
        """
        for phase, seconds in cost.seconds.items():
            if phase != "total":
                self.add_phase(phase, seconds)
        total = self.elapsed_seconds() - self._start_of_observation
        overhead = 0.0 if self.n_measured else None
        n_signal_only = None if self.max_fraction is None else self.n_signal_only
        return self._with_overhead(Cost({**cost.seconds, "total": total}, overhead, n_signal_only))

    def with_writing(self, cost: Cost) -> Cost:
        """The whole cost of the last observation, once it has been written.

        Args:
            cost: From `complete`, with what was computed since.
        """
        written = Cost({"writing": self.write_seconds, "total": self.write_seconds})
        return self._with_overhead(cost.plus(written))

    def _with_overhead(self, cost: Cost) -> Cost:
        """The cost as a fraction of itself and the time before it; the first observation has no such time."""
        if cost.overhead is None:
            return cost
        total = cost.seconds["total"]
        return replace(cost, overhead=total / max(total + self._seconds_between, MIN_SECONDS))

"""The clock of a run, and the account of the time that the lens has taken."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

#: Attributes that a checkpoint keeps.
STATE_KEYS = (
    "total_seconds",
    "elapsed",
    "full_seconds",
    "figure_seconds",
    "last_end",
    "n_measured",
    "n_full",
    "n_signal_only",
    "write_seconds",
)


@dataclass(kw_only=True)
class TimeAccount:
    """Counts the seconds of a run, and those that its observations, their figures and their writing have taken.

    Seconds are counted from `start` on; the time between a checkpoint and the run that resumes it is not counted.

    Attributes:
        clock: Returns seconds, which never decrease.
        total_seconds: Seconds of all that the lens has done.
        elapsed: Seconds of training and observations, up to the last reading of the clock.
        full_seconds: Seconds of the last full observation, without its figures.
        figure_seconds: Seconds in which figures were last drawn; 0 before any.
        last_end: ``elapsed`` when the last observation ended.
        n_measured: Number of observations that were made.
        n_full: Number of those that were made in full.
        n_signal_only: Number of those that were due and not made in full, because the account did not cover it.
        write_seconds: Seconds that writing the last observation has taken so far, figures included.
        phases: Seconds of the run by phase.
    """

    clock: Callable[[], float] = time.perf_counter
    total_seconds: float = 0.0
    elapsed: float = 0.0
    full_seconds: float = 0.0
    figure_seconds: float = 0.0
    last_end: float = 0.0
    n_measured: int = 0
    n_full: int = 0
    n_signal_only: int = 0
    write_seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._last_reading: float | None = None
        self._start_of_observation = 0.0
        self._drawing_seconds = 0.0
        self._is_observing = False
        self._is_excluded = False
        self._is_last_full = False
        self._seconds_between = 0.0

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

    def begin(self) -> None:
        """Notes that an observation begins."""
        self._start_of_observation = self.elapsed_seconds()
        self._seconds_between = self._start_of_observation - self.last_end
        self._drawing_seconds = 0.0
        self.write_seconds = 0.0
        self._is_observing = True

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Measures the price of figures, which are drawn inside on the training's thread."""
        start = self.elapsed_seconds()
        try:
            yield
        finally:
            self._count_figures(self.elapsed_seconds() - start)

    def _count_figures(self, seconds: float) -> None:
        self.figure_seconds = seconds
        self._drawing_seconds += seconds
        self.add_phase("figures", seconds)

    def add_background_figures(self, seconds: float, waited: float) -> None:
        """Counts figures that were drawn and written on another thread; called within `writing`.

        Args:
            seconds: Processor seconds of that thread.
            waited: Seconds of them, at least, for which the training's thread has waited within `writing`.
        """
        self._count_figures(seconds)
        beside = max(0.0, seconds - waited)
        self._drawing_seconds -= beside
        self.total_seconds += beside
        self.write_seconds += beside

    def add_background(self, seconds_by_phase: Mapping[str, float], waited: float) -> float:
        """Counts what was computed on another thread for the last observation, after `record`.

        Args:
            seconds_by_phase: Processor seconds of that thread by phase.
            waited: Seconds for which the training's thread has waited for it.

        Returns:
            The seconds that this adds to the cost of the observation.
        """
        for phase, seconds in seconds_by_phase.items():
            self.add_phase(phase, seconds)
        added = max(waited, sum(seconds_by_phase.values()))
        self._add_afterwards(added)
        return added

    def _add_afterwards(self, seconds: float) -> None:
        """Counts seconds that belong to the last observation and were spent after `record`."""
        self.total_seconds += seconds
        if self._is_last_full:
            self.full_seconds += seconds

    def record(self, is_full: bool) -> None:
        """Accounts for an observation that has just ended, also where it has failed.

        What is still done for it later is added by `writing`, `add_background` and `add_background_figures`.

        Args:
            is_full: Whether it was to be a full one.
        """
        self.last_end = self.elapsed_seconds()
        seconds = self.last_end - self._start_of_observation
        self.total_seconds += seconds
        self.n_measured += 1
        self._is_observing = False
        self._is_last_full = is_full
        if is_full:
            self.n_full += 1
            self.full_seconds = seconds - self._drawing_seconds

    @contextmanager
    def exclude_from_price(self, phase: str) -> Iterator[None]:
        """Counts the time inside as overhead, but not towards the price of an observation: preparation and closing.

        Args:
            phase: The phase of the run that the time belongs to.
        """
        start = self.elapsed_seconds()
        drawn_before = self._drawing_seconds
        self._is_excluded = True
        try:
            yield
        finally:
            self._is_excluded = False
            seconds = self.elapsed_seconds() - start
            self.total_seconds += seconds
            self.add_phase(phase, seconds - (self._drawing_seconds - drawn_before))

    def add_phase(self, phase: str, seconds: float) -> None:
        """Adds seconds to a phase of the run, which are part of `total_seconds` too."""
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Measures how long writing an observation takes, during an observation or after it."""
        start = self.elapsed_seconds()
        drawn_before = self._drawing_seconds
        try:
            yield
        finally:
            seconds = self.elapsed_seconds() - start
            drawn = self._drawing_seconds - drawn_before
            self.write_seconds += seconds
            self.add_phase("writing", seconds - drawn)
            if not (self._is_observing or self._is_excluded):
                self.total_seconds += drawn
                self._add_afterwards(seconds - drawn)

    @property
    def overhead(self) -> float:
        """Fraction of all time spent on observations so far; NaN before any."""
        total = self.elapsed_seconds()
        if total > 0:
            return self.total_seconds / total
        return math.nan

    def state_dict(self) -> dict[str, Any]:
        """The state as plain numbers."""
        self.elapsed_seconds()
        state: dict[str, Any] = {}
        for name in STATE_KEYS:
            state[name] = getattr(self, name)
        state["phases"] = dict(self.phases)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where a checkpoint stopped; the clock runs again from `start` on."""
        for name in STATE_KEYS:
            setattr(self, name, state[name])
        self.phases = dict(state["phases"])
        self._last_reading = None

"""Rules that know what the learning rate does: signals follow the rate as well as the learning.

While a rate warms up the network changes little, and its predictions agree with each other for that reason. While a
rate is still to be annealed every label-free signal of the project's first study stopped too early: the last epochs, at
the lowest rates, bring the improvement.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace

from lightning_factorlens._validation import check_int
from lightning_factorlens.stopping.rule import Decision, EpochInfo, Rule, State, WrappingRule

#: Rates that differ by less are the same.
SAME = 1e-6


@dataclass(frozen=True)
class MinEpochs(WrappingRule):
    """A rule that looks on from the start but may not stop before an epoch.

    Attributes:
        rule: Whose verdict counts afterwards.
        epochs: Epochs that are trained in any case.
    """

    epochs: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("epochs", self.epochs, 0)

    def step(self, state: State, value: float, look: EpochInfo) -> tuple[State, Decision]:
        """The rule's, without a stop that comes too early."""
        state, verdict = self.rule.step(state, value, look)
        if verdict.stop and look.epoch < self.epochs:
            verdict = replace(verdict, stop=False, reason=f"not before epoch {self.epochs}: {verdict.reason}")
        return state, verdict


@dataclass(frozen=True)
class _Waiting(WrappingRule):
    """A rule that begins anew whenever a wait is over; during a wait the latest look counts as the best."""

    def start(self) -> State:
        """No look seen."""
        return {"rule": self.rule.start(), "best_epoch": None, **self._start()}

    def step(self, state: State, value: float, look: EpochInfo) -> tuple[State, Decision]:
        """Looks at the rate, and asks the rule unless waiting."""
        state, why = self._wait(state, look)
        if why:
            seen = math.isfinite(value)
            best = look.epoch if seen else state["best_epoch"]
            state = {**state, "rule": self.rule.start(), "best_epoch": best}
            return state, Decision(False, best, value if seen else math.nan, why)
        inner, verdict = self.rule.step(state["rule"], value, look)
        if verdict.best_epoch is None:  # no value yet since the wait was over
            verdict = replace(verdict, best_epoch=state["best_epoch"])
        return {**state, "rule": inner, "best_epoch": verdict.best_epoch}, verdict

    @abstractmethod
    def _start(self) -> State:
        """What is kept of the rates."""

    @abstractmethod
    def _wait(self, state: State, look: EpochInfo) -> tuple[State, str]:
        """The state with this look's rate, and why to wait, empty for not at all."""


@dataclass(frozen=True)
class AfterWarmup(_Waiting):
    """A rule that sees nothing of the warm-up: of the first epochs, and of those whose rate rises.

    The first look never counts: nobody can tell yet whether the rate rises.

    Attributes:
        rule: Sees what comes afterwards.
        epochs: Epochs that count as warm-up in any case.
    """

    epochs: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("epochs", self.epochs, 0)

    def _start(self) -> State:
        return {"last": 0.0, "over": False}

    def _wait(self, state: State, look: EpochInfo) -> tuple[State, str]:
        if state["over"]:
            return state, ""
        rises = look.lr is not None and look.lr > state["last"] * (1 + SAME)
        over = not rises and look.epoch > self.epochs
        return {**state, "last": look.lr or 0.0, "over": over}, "" if over else "the learning rate is warming up"


@dataclass(frozen=True)
class AfterAnnealing(_Waiting):
    """A rule that begins when the learning rate has been annealed.

    Where the schedule is known (``look.lowest_rate_ahead``) it waits while a lower rate is still to come and the
    present one is above ``floor`` of the highest so far. Where it is not, it waits while the rate has fallen within the
    last ``settle`` looks. A constant rate, and one that nobody tells, is not waited for.

    Attributes:
        rule: Begins anew whenever a wait is over.
        floor: Share of the highest rate below which a rate counts as annealed.
        settle: Looks without a fall after which an unknown schedule counts as done.
        meanwhile: A rule that says during a wait which look is the best and whether to stop, such as `Risen`, for
            networks that go wrong before the rate has fallen; without one the latest look is best and nothing stops.
    """

    floor: float = 0.01
    patience: int = 5
    while_waiting: Rule | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.while_waiting is not None and not isinstance(self.while_waiting, Rule):
            raise ValueError(f"meanwhile: must be a rule such as Risen() or None, found {self.while_waiting!r}.")
        check_int("settle", self.patience, 1)
        if not isinstance(self.floor, (int, float)) or not 0 <= self.floor < 1:
            raise ValueError(f"floor: must be at least 0 and below 1, found {self.floor!r}.")

    def start(self) -> State:
        """No look seen."""
        return {**super().start(), "meanwhile": None if self.while_waiting is None else self.while_waiting.start()}

    def step(self, state: State, value: float, look: EpochInfo) -> tuple[State, Decision]:
        """Looks at the rate, and asks the rule, or during a wait the one for the meanwhile."""
        new, verdict = super().step(state, value, look)
        if self.while_waiting is None or not self._wait(state, look)[1]:
            return new, verdict
        inner, other = self.while_waiting.step(state["meanwhile"], value, look)
        kept = [epoch for epoch in (state["best_epoch"], other.best_epoch) if epoch is not None]
        best = max(kept, default=None)  # never back to a look whose checkpoint is gone
        other = replace(other, best_epoch=best, reason=f"{verdict.reason}; {other.reason}")
        return {**new, "meanwhile": inner, "best_epoch": best}, other

    @property
    def signals(self) -> tuple[str, ...]:
        """Those of both rules."""
        also = () if self.while_waiting is None else self.while_waiting.metrics
        return tuple(dict.fromkeys((*self.rule.metrics, *also)))

    def _start(self) -> State:
        return {"peak": 0.0, "last": 0.0, "still": self.patience}

    def _wait(self, state: State, look: EpochInfo) -> tuple[State, str]:
        rate, ahead = look.lr, look.min_future_lr
        if rate is None:
            return state, ""
        still = 0 if rate < state["last"] * (1 - SAME) else state["still"] + 1
        state = {**state, "last": rate, "still": still, "peak": max(state["peak"], rate)}
        if rate <= self.floor * state["peak"]:
            return state, ""
        if ahead is None:
            return state, f"the learning rate fell to {rate:.3g} {still} looks ago" if still < self.patience else ""
        falls = ahead < rate * (1 - SAME)
        return state, f"the learning rate is {rate:.3g} and will fall to {ahead:.3g}" if falls else ""

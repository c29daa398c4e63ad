"""Rules that take the learning-rate schedule into account.

Label-free metrics depend on the learning rate as well as on the progress of training. While the rate warms up, the
network changes little, and its predictions are stable for that reason alone. While the rate is still to be annealed,
stopping is premature, because the last epochs at the lowest rates bring a large part of the improvement.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace

from lightning_factorlens._validation import check_int
from lightning_factorlens.stopping.rule import Decision, EpochInfo, Rule, RuleWrapper, State

#: Learning rates with a smaller relative difference count as equal.
RELATIVE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class MinEpochs(RuleWrapper):
    """Evaluates a rule from the first measurement on but allows no stop before a given epoch.

    Attributes:
        rule: The rule whose decision counts from that epoch on.
        epochs: Number of epochs that are trained in any case, at least 0.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> from lightning_factorlens.stopping import MinEpochs, Patience, replay
        >>> [decision.stop for decision in replay(MinEpochs(Patience(patience=1), epochs=4), [1.0, 2.0, 3.0, 4.0])]
        [False, False, False, True]
    """

    epochs: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("epochs", self.epochs, 0)

    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Decision]:
        """Steps the wrapped rule and withdraws a decision to stop that comes too early."""
        state, decision = self.rule.step(state, value, info)
        if decision.stop and info.epoch < self.epochs:
            decision = replace(decision, stop=False, reason=f"not before epoch {self.epochs}: {decision.reason}")
        return state, decision


@dataclass(frozen=True)
class DelayedRule(RuleWrapper):
    """Base class of rules that wait for the learning rate.

    During a wait the newest measurement counts as the best; after each wait the wrapped rule starts anew.
    """

    def start(self) -> State:
        """Returns the state before the first measurement."""
        return {"rule": self.rule.start(), "best_epoch": None, **self._initial_state()}

    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Decision]:
        """Evaluates the learning rate, and steps the wrapped rule unless there is a wait."""
        state, wait_reason = self._update_wait(state, info)
        if wait_reason:
            best_epoch = state["best_epoch"]
            score = math.nan
            if math.isfinite(value):
                best_epoch = info.epoch
                score = value
            state = {**state, "rule": self.rule.start(), "best_epoch": best_epoch}
            return state, Decision(False, best_epoch, score, wait_reason)
        rule_state, decision = self.rule.step(state["rule"], value, info)
        if decision.best_epoch is None:  # the wrapped rule has received no value since the wait ended
            decision = replace(decision, best_epoch=state["best_epoch"])
        return {**state, "rule": rule_state, "best_epoch": decision.best_epoch}, decision

    @abstractmethod
    def _initial_state(self) -> State:
        """Returns what is kept of the learning rates."""

    @abstractmethod
    def _update_wait(self, state: State, info: EpochInfo) -> tuple[State, str]:
        """Returns the state updated with this learning rate, and the reason to wait; an empty reason means no wait."""


@dataclass(frozen=True)
class AfterWarmup(DelayedRule):
    """Starts a rule when the learning-rate warm-up is over.

    The warm-up (Goyal et al. 2017, "Accurate, large minibatch SGD: training ImageNet in 1 hour") consists of the first
    ``epochs`` epochs and of those that follow while the rate rises. The first measurement never reaches the rule,
    since a single rate does not show whether the rate rises. A warm-up that has ended does not begin again.

    Attributes:
        rule: The rule that receives the measurements after the warm-up.
        epochs: Number of epochs that belong to the warm-up in any case, at least 0.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> from lightning_factorlens.stopping import AfterWarmup, Patience, epoch_infos, replay
        >>> infos = epoch_infos(5, lrs=[0.1, 0.2, 0.3, 0.3, 0.3])
        >>> decisions = replay(AfterWarmup(Patience(patience=1)), [1.0, 2.0, 3.0, 2.5, 2.6], infos)
        >>> [decision.best_epoch for decision in decisions], decisions[-1].stop
        ([1, 2, 3, 4, 4], True)
    """

    epochs: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("epochs", self.epochs, 0)

    def _initial_state(self) -> State:
        return {"last_lr": 0.0, "is_over": False}

    def _update_wait(self, state: State, info: EpochInfo) -> tuple[State, str]:
        if state["is_over"]:
            return state, ""
        rises = info.lr is not None and info.lr > state["last_lr"] * (1 + RELATIVE_TOLERANCE)
        is_over = not rises and info.epoch > self.epochs
        wait_reason = "" if is_over else self._wait_reason(info.epoch, state["last_lr"], rises)
        has_lr = info.lr is not None and math.isfinite(info.lr)
        return {**state, "last_lr": info.lr if has_lr else 0.0, "is_over": is_over}, wait_reason

    def _wait_reason(self, epoch: int, last_lr: float, rises: bool) -> str:
        """Why a measurement does not reach the rule."""
        if rises and last_lr > 0:
            return "the learning rate is warming up"
        if epoch <= self.epochs:
            return f"the first {self.epochs} epochs do not count"
        return "one measurement does not show whether the learning rate rises"


@dataclass(frozen=True)
class AfterAnnealing(DelayedRule):
    """Starts a rule when the learning rate has been annealed.

    If the schedule is known (``info.min_future_lr``), the rule waits as long as a lower rate is still to come and the
    current one is above ``floor`` times the highest rate so far. If it is unknown, the rule waits as long as the rate
    has fallen within the last ``patience`` measurements. A constant rate and an unknown rate cause no wait.

    Attributes:
        rule: The rule that starts anew whenever a wait is over.
        floor: Fraction of the highest rate at or below which a rate counts as annealed, at least 0 and below 1.
        patience: Number of measurements without a fall after which an unknown schedule counts as finished, at least 1.
        while_waiting: The rule that determines the best epoch and whether to stop during a wait, for networks that
            deteriorate before the rate has fallen, such as `GeneralizationLoss`. With None the newest measurement is
            the best and nothing stops a wait.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> from lightning_factorlens.stopping import AfterAnnealing, Patience, epoch_infos, replay
        >>> infos = epoch_infos(5, lrs=[1.0, 1.0, 0.1, 0.1, 0.1])
        >>> decisions = replay(AfterAnnealing(Patience(patience=1)), [1.0, 2.0, 1.5, 1.4, 1.6], infos)
        >>> [decision.stop for decision in decisions]
        [False, False, False, False, True]
        >>> decisions[0].reason
        'the learning rate is 1 and will fall to 0.1'
    """

    floor: float = 0.01
    patience: int = 5
    while_waiting: Rule | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.while_waiting is not None and not isinstance(self.while_waiting, Rule):
            raise ValueError(
                f"while_waiting: must be a rule such as GeneralizationLoss() or None, found {self.while_waiting!r}."
            )
        check_int("patience", self.patience, 1)
        if not isinstance(self.floor, (int, float)) or not 0 <= self.floor < 1:
            raise ValueError(f"floor: must be at least 0 and below 1, found {self.floor!r}.")

    def start(self) -> State:
        """Returns the state before the first measurement."""
        waiting_state = None if self.while_waiting is None else self.while_waiting.start()
        return {**super().start(), "while_waiting": waiting_state}

    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Decision]:
        """Evaluates the learning rate, then steps the wrapped rule, or during a wait the rule ``while_waiting``."""
        new_state, decision = super().step(state, value, info)
        _, wait_reason = self._update_wait(state, info)
        if self.while_waiting is None or not wait_reason:
            return new_state, decision
        waiting_state, waiting = self.while_waiting.step(state["while_waiting"], value, info)
        # never return to an earlier epoch: its checkpoint has been overwritten by a later best one
        best_epoch = waiting.best_epoch
        if best_epoch is None or (state["best_epoch"] is not None and state["best_epoch"] > best_epoch):
            best_epoch = state["best_epoch"]
        waiting = replace(waiting, best_epoch=best_epoch, reason=f"{decision.reason}; {waiting.reason}")
        return {**new_state, "while_waiting": waiting_state, "best_epoch": best_epoch}, waiting

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that either rule reads."""
        if self.while_waiting is None:
            return self.rule.metrics
        return tuple(dict.fromkeys((*self.rule.metrics, *self.while_waiting.metrics)))

    def _initial_state(self) -> State:
        return {"max_lr": 0.0, "last_lr": 0.0, "n_since_fall": self.patience}

    def _update_wait(self, state: State, info: EpochInfo) -> tuple[State, str]:
        lr = info.lr
        if lr is None or not math.isfinite(lr):
            return state, ""
        falls = lr < state["last_lr"] * (1 - RELATIVE_TOLERANCE)
        n_since_fall = 0 if falls else state["n_since_fall"] + 1
        max_lr = max(state["max_lr"], lr)
        state = {**state, "last_lr": lr, "n_since_fall": n_since_fall, "max_lr": max_lr}
        if lr <= self.floor * max_lr:
            return state, ""
        if info.min_future_lr is None:
            if n_since_fall < self.patience:
                return state, f"the learning rate fell to {lr:.3g} {n_since_fall} measurements ago"
        elif info.min_future_lr < lr * (1 - RELATIVE_TOLERANCE):
            return state, f"the learning rate is {lr:.3g} and will fall to {info.min_future_lr:.3g}"
        return state, ""

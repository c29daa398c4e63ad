"""What a stopping rule is: a state of plain types, and a step that takes one look's value to a verdict.

``state = rule.start()``, then at every look ``state, verdict = rule.step(state, value, look)``. A rule never changes
the state that it is given and never sees a later value: the verdict on the prefix of a series is that on the whole at
that look. Lower values are better; `Maximise` turns a signal round.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Dicts, lists, strings, numbers, None: what a checkpoint loaded with ``weights_only`` may hold.
State = dict[str, Any]


@dataclass(frozen=True)
class EpochInfo:
    """What a rule may know of a look besides the value of its signal.

    Attributes:
        epoch: Epochs finished, from 1.
        rate: Learning rate of the epoch that ended; None where nobody says.
        lowest_rate_ahead: The lowest rate that the schedule will change to, a plan and no observation; infinite
            where it will not change any more, None where there is no telling.
        horizon: Epochs that were planned; None for no end.
        values: All signals of this look by name, for rules that read more than one.
    """

    epoch: int
    lr: float | None = None
    min_future_lr: float | None = None
    horizon: int | None = None
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What a rule says after a look.

    Attributes:
        stop: Whether to stop now. Not kept: a rule that is not obeyed may think better of it.
        best_epoch: The look that the rule would keep, so far; None before the first value.
        score: The value as the rule judges it, smoothed; NaN where this look has none.
        reason: Why, in words.
    """

    stop: bool
    best_epoch: int | None
    score: float
    reason: str


class Rule(ABC):
    """Says after each look whether to stop. Subclasses are frozen dataclasses: their options and nothing else."""

    @abstractmethod
    def start(self) -> State:
        """The state before the first look."""

    @abstractmethod
    def step(self, state: State, value: float, look: EpochInfo) -> tuple[State, Decision]:
        """One look.

        Args:
            state: From `start` or the last step; left as it is.
            value: The signal, lower is better. NaN or infinite counts as no value: the state stays, and the verdict
                is to go on.
            look: When that was.

        Returns:
            The new state and the verdict.
        """

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the signals that are read from ``look.values``."""
        return ()


@dataclass(frozen=True)
class WrappingRule(Rule):
    """A rule around another one.

    Attributes:
        rule: The one inside.
    """

    rule: Rule

    def __post_init__(self) -> None:
        if not isinstance(self.rule, Rule):
            raise ValueError(f"rule: must be a rule such as Patience(), found {self.rule!r}.")

    def start(self) -> State:
        """That of the rule inside."""
        return self.rule.start()

    @property
    def signals(self) -> tuple[str, ...]:
        """Those of the rule inside."""
        return self.rule.metrics


class ScoringRule(Rule):
    """A rule whose best look is the one with the lowest score so far, the first of equals."""

    def start(self) -> State:
        """Nothing seen."""
        return {"best_epoch": None, "best": math.inf, **self._start()}

    def step(self, state: State, value: float, look: EpochInfo) -> tuple[State, Decision]:
        """Scores the value, keeps the best, then decides."""
        if not math.isfinite(value):
            return state, Decision(False, state["best_epoch"], math.nan, "this look has no value")
        state, score = self._score(dict(state), value)
        if score < state["best"]:
            state = {**state, "best": score, "best_epoch": look.epoch}
        state, stop, reason = self._decide(state, value, score)
        return state, Decision(stop, state["best_epoch"], score, reason)

    @abstractmethod
    def _start(self) -> State:
        """What the rule keeps besides the best look."""

    @abstractmethod
    def _score(self, state: State, value: float) -> tuple[State, float]:
        """The value as the rule judges it; ``state`` is a copy, whose lists are not."""

    @abstractmethod
    def _decide(self, state: State, value: float, score: float) -> tuple[State, bool, str]:
        """Whether to stop and why; ``state`` knows already whether this look is the best."""

"""The interface of a stopping rule: a state of plain types, and a step that turns one value into a decision.

A rule is used as ``state = rule.start()`` and then, after every measurement,
``state, decision = rule.step(state, value, info)``. A rule never changes the state that it is given and never reads a
later value, so the decision on the prefix of a series equals the decision on the whole series at that position. Lower
values are better; wrap a rule in `Maximize` for a metric whose higher values are better.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

#: The state of a rule. It holds only dicts, lists, strings, numbers, booleans and None, so that a checkpoint that
#: contains it can be loaded with ``weights_only=True``.
State = dict[str, Any]


@dataclass(frozen=True)
class EpochInfo:
    """The data about a measurement that a rule may use besides the value of its metric.

    Attributes:
        epoch: Number of finished epochs, counted from 1.
        lr: Learning rate at the end of the epoch; None if it is unknown.
        min_future_lr: The lowest learning rate that the schedule will still set, as planned and not as observed;
            infinite if the rate will not change any more, None if the schedule is unknown.
        metrics: All metrics of this measurement by name, for rules that read more than one.
        max_epochs: Number of epochs that the training is planned to have; None if it is unknown.
    """

    epoch: int
    lr: float | None = None
    min_future_lr: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    max_epochs: int | None = None


@dataclass(frozen=True)
class Decision:
    """The result of a rule after one measurement.

    Attributes:
        stop: Whether to stop now. It is not latched: if training goes on, a later decision may be False again.
        best_epoch: The epoch whose weights the rule would keep so far; None before the first value.
        score: The value that the rule compared, after its smoothing; NaN if the measurement has no value.
        reason: The reason in words.
        probability: Estimated probability that the best epoch of the planned training lies behind, from
            `BestEpochBehind`; None from other rules.
    """

    stop: bool
    best_epoch: int | None
    score: float
    reason: str
    probability: float | None = None

    def _repr_html_(self) -> str:
        """The decision in a sentence for notebooks."""
        verdict = "stop" if self.stop else "go on"
        best = "no epoch yet" if self.best_epoch is None else f"best epoch {self.best_epoch}"
        return f"<div><b>{verdict}</b>, {best}, score {self.score:.4g}<br><small>{escape(self.reason)}</small></div>"


class Rule(ABC):
    """Base class of all stopping rules.

    Subclasses are frozen dataclasses whose fields are the options of the rule; everything that changes during a run
    belongs to the state.

    Example:
        >>> from lightning_factorlens.stopping import EpochInfo, Patience
        >>> rule = Patience(patience=1)
        >>> state = rule.start()
        >>> state, first = rule.step(state, 0.5, EpochInfo(epoch=1))
        >>> state, second = rule.step(state, 0.7, EpochInfo(epoch=2))
        >>> first.stop, second.stop, second.best_epoch
        (False, True, 1)
    """

    @abstractmethod
    def start(self) -> State:
        """Returns the state before the first measurement."""

    @abstractmethod
    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Decision]:
        """Processes one measurement.

        Args:
            state: The state from `start` or from the previous step. It is not modified.
            value: The value of the metric; lower is better. NaN and infinity count as a missing value: the rule's
                comparisons stay as they were, and the decision is not to stop.
            info: The epoch of the measurement, its learning rate and its other metrics.

        Returns:
            The new state and the decision.
        """

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that the rule reads from ``info.metrics``."""
        return ()


@dataclass(frozen=True)
class RuleWrapper(Rule):
    """Base class of rules that change what another rule receives or returns.

    Attributes:
        rule: The wrapped rule.
    """

    rule: Rule

    def __post_init__(self) -> None:
        if not isinstance(self.rule, Rule):
            raise ValueError(
                f"rule: must be a rule such as Patience(), found {self.rule!r}; pass an object, not a class."
            )

    def start(self) -> State:
        """Returns the initial state of the wrapped rule."""
        return self.rule.start()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that the wrapped rule reads."""
        return self.rule.metrics

"""Rules that combine other rules, apply them to another metric, or reverse the direction of the metric."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lightning_factorlens.stopping.rule import Decision, EpochInfo, Rule, RuleWrapper, State


@dataclass(frozen=True)
class CombinedRule(Rule):
    """Base class of rules that evaluate several rules side by side.

    The first rule determines the best epoch and the score.

    Attributes:
        rules: At least one rule.

    Raises:
        ValueError: ``rules`` is no list of rules, or it is empty.
    """

    rules: Sequence[Rule]

    def __post_init__(self) -> None:
        is_sequence = isinstance(self.rules, (tuple, list)) and len(self.rules) > 0
        if not is_sequence or not all(isinstance(rule, Rule) for rule in self.rules):
            raise ValueError(
                f"rules: must be a list of rules, at least one, found {self.rules!r}; write [Patience(), Plateau()]."
            )
        object.__setattr__(self, "rules", tuple(self.rules))

    def start(self) -> State:
        """Returns the initial states of all rules."""
        states = []
        for rule in self.rules:
            states.append(rule.start())
        return {"rules": states}

    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Decision]:
        """Steps every rule, whatever the others decide."""
        states = []
        decisions = []
        for rule, rule_state in zip(self.rules, state["rules"]):
            new_state, decision = rule.step(rule_state, value, info)
            states.append(new_state)
            decisions.append(decision)
        stop, reason = self._combine(decisions)
        return {"rules": states}, Decision(stop, decisions[0].best_epoch, decisions[0].score, reason)

    @abstractmethod
    def _combine(self, decisions: Sequence[Decision]) -> tuple[bool, str]:
        """Returns whether to stop, and why."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that any of the rules reads, without repetition."""
        names: list[str] = []
        for rule in self.rules:
            names.extend(rule.metrics)
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class AllOf(CombinedRule):
    """Stops when all rules decide to stop after the same measurement.

    The first rule determines the best epoch and the score.

    Attributes:
        rules: At least one rule.

    Example:
        >>> from lightning_factorlens.stopping import Patience, Plateau, replay
        >>> rule = AllOf([Patience(patience=1), Plateau(window=3, fraction=0.1)])
        >>> [decision.stop for decision in replay(rule, [3.0, 1.0, 1.5, 1.5, 1.5])]
        [False, False, False, False, True]
    """

    def _combine(self, decisions: Sequence[Decision]) -> tuple[bool, str]:
        against = _reasons(decisions, stop=False)
        reasons = against or _reasons(decisions, stop=True)
        return not against, "; and ".join(reasons)


@dataclass(frozen=True)
class AnyOf(CombinedRule):
    """Stops when at least one rule decides to stop.

    The first rule determines the best epoch and the score.

    Attributes:
        rules: At least one rule.

    Example:
        >>> from lightning_factorlens.stopping import Patience, Plateau, replay
        >>> rule = AnyOf([Patience(patience=5), Plateau(window=2, fraction=0.1)])
        >>> [decision.stop for decision in replay(rule, [3.0, 1.0, 0.95, 0.9])]
        [False, False, False, True]
    """

    def _combine(self, decisions: Sequence[Decision]) -> tuple[bool, str]:
        in_favour = _reasons(decisions, stop=True)
        reasons = in_favour or _reasons(decisions, stop=False)
        return bool(in_favour), "; and ".join(reasons)


def _reasons(decisions: Sequence[Decision], stop: bool) -> list[str]:
    """The reasons of the decisions to stop, or of those not to stop."""
    reasons = []
    for decision in decisions:
        if decision.stop == stop:
            reasons.append(decision.reason)
    return reasons


@dataclass(frozen=True)
class OnMetric(RuleWrapper):
    """Applies a rule to another metric of the same measurement.

    Attributes:
        rule: The rule that evaluates the metric.
        metric: The name of the metric, such as ``"factorlens/effective_rank"``. A measurement without it counts as
            one with a missing value.

    Example:
        >>> from lightning_factorlens.stopping import Patience, epoch_infos, replay
        >>> infos = epoch_infos(3, metrics={"rank": [5.0, 4.0, 6.0]})
        >>> replay(OnMetric(Patience(patience=1), "rank"), [0.1, 0.2, 0.3], infos)[-1].reason
        'rank: no value below 4 for 1 measurements, patience is 1'
    """

    metric: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.metric, str) or not self.metric:
            raise ValueError(f"metric: must be a tag such as 'factorlens/effective_rank', found {self.metric!r}.")

    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Decision]:
        """Steps the wrapped rule with the other metric's value, NaN if the measurement has none."""
        state, decision = self.rule.step(state, info.metrics.get(self.metric, math.nan), info)
        return state, replace(decision, reason=f"{self.metric}: {decision.reason}")

    @property
    def metrics(self) -> tuple[str, ...]:
        """This metric and those that the wrapped rule reads."""
        return tuple(dict.fromkeys((self.metric, *self.rule.metrics)))


@dataclass(frozen=True)
class Maximize(RuleWrapper):
    """Applies a rule to a metric whose higher values are better, by changing the sign of every value.

    Attributes:
        rule: The rule that evaluates the negated values.

    Example:
        >>> from lightning_factorlens.stopping import Patience, replay
        >>> [decision.best_epoch for decision in replay(Maximize(Patience()), [0.5, 0.7, 0.6])]
        [1, 2, 2]
    """

    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Decision]:
        """Steps the wrapped rule with the negated value."""
        return self.rule.step(state, -value, info)

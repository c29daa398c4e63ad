"""Rules made of rules: all of several, any of several, one upon another signal, one for a signal that should rise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lightning_factorlens.stopping.rule import Decision, EpochInfo, Rule, State, WrappingRule


@dataclass(frozen=True)
class _Several(Rule):
    """Several rules side by side; the first says which look is the best and what the score is.

    Attributes:
        rules: At least one.
    """

    rules: Sequence[Rule]

    def __post_init__(self) -> None:
        if (
            not isinstance(self.rules, (tuple, list))
            or not self.rules
            or not all(isinstance(r, Rule) for r in self.rules)
        ):
            raise ValueError(f"rules: must be a list of rules, at least one, found {self.rules!r}.")
        object.__setattr__(self, "rules", tuple(self.rules))

    def start(self) -> State:
        """Every rule's."""
        return {"rules": [rule.start() for rule in self.rules]}

    def step(self, state: State, value: float, look: EpochInfo) -> tuple[State, Decision]:
        """Every rule steps, whatever the others say."""
        steps = [rule.step(s, value, look) for rule, s in zip(self.rules, state["rules"])]
        verdicts = [verdict for _, verdict in steps]
        stop, reason = self._together(verdicts)
        return {"rules": [s for s, _ in steps]}, Decision(stop, verdicts[0].best_epoch, verdicts[0].score, reason)

    def _together(self, verdicts: Sequence[Decision]) -> tuple[bool, str]:
        raise NotImplementedError

    @property
    def signals(self) -> tuple[str, ...]:
        """Those of every rule, once."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.metrics))


@dataclass(frozen=True)
class AllOf(_Several):
    """Stops when all rules say so at the same look; the first names the best look."""

    def _together(self, verdicts: Sequence[Decision]) -> tuple[bool, str]:
        against = [v.reason for v in verdicts if not v.stop]
        return not against, "; and ".join(against or [v.reason for v in verdicts])


@dataclass(frozen=True)
class AnyOf(_Several):
    """Stops when one rule says so; the first names the best look."""

    def _together(self, verdicts: Sequence[Decision]) -> tuple[bool, str]:
        in_favour = [v.reason for v in verdicts if v.stop]
        return bool(in_favour), "; and ".join(in_favour or [v.reason for v in verdicts])


@dataclass(frozen=True)
class OnMetric(WrappingRule):
    """A rule upon another signal of the same look.

    Attributes:
        rule: What judges it.
        signal: Its name, e.g. ``"factorlens/effective_rank"``.
    """

    metric: str

    def step(self, state: State, value: float, look: EpochInfo) -> tuple[State, Decision]:
        """With the signal's value, NaN where the look has none."""
        state, verdict = self.rule.step(state, look.values.get(self.metric, math.nan), look)
        return state, replace(verdict, reason=f"{self.metric}: {verdict.reason}")

    @property
    def signals(self) -> tuple[str, ...]:
        """This one and what the rule reads besides."""
        return tuple(dict.fromkeys((self.metric, *self.rule.metrics)))


@dataclass(frozen=True)
class Maximize(WrappingRule):
    """A rule for a signal whose higher values are better: it sees their negatives."""

    def step(self, state: State, value: float, look: EpochInfo) -> tuple[State, Decision]:
        """With the sign turned."""
        return self.rule.step(state, -value, look)

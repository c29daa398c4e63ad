"""BestEpochBehind: the estimated probability that the best epoch is past, and a stop where it reaches a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from lightning_factorlens._validation import check_choice, is_number
from lightning_factorlens.stopping.probability_features import SHARE, SeriesFeatures
from lightning_factorlens.stopping.probability_model import TARGETS, fitted_model
from lightning_factorlens.stopping.rule import Decision, EpochInfo, RuleWrapper, State

FEATURES = SeriesFeatures()
#: Begins the part of a decision's reason that states the probability.
PROBABILITY_WORDS = "the best epoch lies behind with an estimated probability of"


@dataclass(frozen=True)
class BestEpochBehind(RuleWrapper):
    """Adds to a rule's decisions the probability that the best epoch of the planned training lies behind.

    The probability comes from a logistic model of a few numbers of the series (`SeriesFeatures`), fitted on recorded
    runs for the signals of `default_monitor`: of the measurements at which it says 80%, about four in five had the
    epoch with the highest test accuracy, or the lowest test loss, at or before them. At the last planned epoch it is 1
    by definition, and by that alone nothing is stopped. Which epoch is kept remains the wrapped rule's choice. A
    measurement without a value has no probability, and nothing is stopped by it if there is a ``min_probability``.

    Attributes:
        rule: The rule that chooses the epoch to keep, and that decides to stop if there is no ``min_probability``.
        min_probability: Stop when the probability reaches this value, above 0 and below 1; None leaves the decision to
            ``rule``.
        target: What "best" means: ``"accuracy"``, the highest test accuracy, or ``"loss"``, the lowest test loss. The
            series has to be that of the target's signal.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> from lightning_factorlens.stopping import Patience, epoch_infos, replay
        >>> series = [2.0, 1.8, 1.5, 1.3, 1.1, 1.0, 0.98, 1.1, 1.2, 1.3, 1.4, 1.5]
        >>> rule = BestEpochBehind(Patience(patience=10), min_probability=0.8)
        >>> decisions = replay(rule, series, epoch_infos(len(series)))
        >>> [decision.stop for decision in decisions].index(True) < len(series) - 1
        True
        >>> decisions[-1].best_epoch, decisions[-1].probability > 0.8
        (7, True)
    """

    min_probability: float | None = None
    target: str = "accuracy"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("target", self.target, TARGETS)
        check_min_probability(self.min_probability)

    def start(self) -> State:
        """Returns the state before the first measurement."""
        return {"rule": self.rule.start(), "features": FEATURES.start()}

    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Decision]:
        """Steps the wrapped rule, and estimates the probability from the values so far."""
        rule_state, decision = self.rule.step(state["rule"], value, info)
        if not math.isfinite(value):
            is_stop = decision.stop and self.min_probability is None
            return {**state, "rule": rule_state}, replace(decision, stop=is_stop)
        features_state, features = FEATURES.step(state["features"], value, info)
        probability = fitted_model(self.target, SHARE in features).probability(features)
        stop = decision.stop
        if self.min_probability is not None:
            stop = probability >= self.min_probability
        if features.get(SHARE) == 1.0:
            probability = 1.0  # by definition, which the fitted model does not know
        words = f"{PROBABILITY_WORDS} {probability:.0%}"
        if self.min_probability is not None:
            words += f", min_probability is {self.min_probability:.0%}"
        decision = replace(decision, stop=stop, probability=probability, reason=f"{decision.reason}; {words}")
        return {"rule": rule_state, "features": features_state}, decision


def check_min_probability(value: Any) -> None:
    """Checks a threshold of the probability.

    Args:
        value: The argument ``min_probability``.

    Raises:
        ValueError: It is neither None nor a number between 0 and 1.

    Example:
        >>> check_min_probability(95)
        Traceback (most recent call last):
        ValueError: min_probability: must be a number between 0 and 1, or None for no threshold, found 95.
    """
    if value is None:
        return
    if not is_number(value) or not 0 < value < 1:
        raise ValueError(
            f"min_probability: must be a number between 0 and 1, or None for no threshold, found {value!r}."
        )

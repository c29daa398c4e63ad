"""Which observation of a run is the best, and by what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_factorlens.loggers.tags import PREFIX
from lightning_factorlens.measurements import Measurement
from lightning_factorlens.results import Observation
from lightning_factorlens.results.findings import StopAdvice
from lightning_factorlens.results.leading_scalar import CONSISTENCY, LeadingScalar, best_observation
from lightning_factorlens.stopping.run_advice import observation_of, run_advice


def leading_scalar(measurements: Sequence[Measurement], prefix: str = PREFIX) -> LeadingScalar | None:
    """The scalar that runs are judged by: the first summary scalar that has a better direction.

    Args:
        measurements: The lens's measurements.
        prefix: First part of the tags.

    Returns:
        The scalar, or None where no measurement declares one.
    """
    for measurement in measurements:
        for scalar in measurement.scalars:
            if scalar.summary and scalar.better is not None:
                is_lower_better = scalar.better == "lower"
                return LeadingScalar(scalar.quantity, scalar.scope, is_lower_better, scalar.tag.format(prefix=prefix))
    return None


def is_judged_by_rule(scalar: LeadingScalar | None) -> bool:
    """Whether the default rule finds the best observation of a run.

    Args:
        scalar: The leading scalar. One that has not been tested with a rule is best where it is lowest, or highest.
    """
    return scalar is not None and scalar.quantity == CONSISTENCY.quantity


@dataclass(frozen=True)
class BestOfRun:
    """The best observation of a run.

    Attributes:
        observation: The observation.
        criterion: What makes it the best, such as ``default rule on accuracy_signal`` or ``lowest factorlens/score``.
    """

    observation: Observation
    criterion: str


def best_of_run(
    history: Sequence[Observation],
    measurements: Sequence[Measurement],
    prefix: str = PREFIX,
    advice: StopAdvice | None = None,
) -> BestOfRun | None:
    """Finds the best observation of a run: by its stopping rule, else by the default rule, else by a scalar alone.

    Args:
        history: The observations of one run, oldest first.
        measurements: The lens's measurements.
        prefix: First part of the tags.
        advice: The decision of the run's stopping rule, where there is one.

    Returns:
        The last observation of the rule's best epoch; or, where the measurements have a leading scalar other than the
        consistency, the first one at which it was best. None where there is neither.
    """
    scalar = leading_scalar(measurements, prefix)
    if is_judged_by_rule(scalar):
        advice = run_advice(history, advice)
    chosen = observation_of(history, advice)
    if advice is not None and chosen is not None:
        return BestOfRun(chosen, advice.criterion)
    if scalar is None or is_judged_by_rule(scalar):
        return None
    best = best_observation(history, scalar)
    if best is None:
        return None
    return BestOfRun(best, f"{'lowest' if scalar.lower_is_better else 'highest'} {scalar.name}")

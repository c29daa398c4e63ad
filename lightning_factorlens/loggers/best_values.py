"""The summary scalars at the best observation of a run, as scalars of their own.

Tables of runs, such as TensorBoard's page "HParams" and the summaries of W&B and MLflow, show the last value that a tag
has. These tags get a new value whenever there is a new best observation, so that their last value is the best one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_factorlens.loggers.best_of_run import is_judged_by_rule, leading_scalar
from lightning_factorlens.loggers.tags import PREFIX, TaggedValue, summary_values
from lightning_factorlens.measurements import Measurement, Scalar
from lightning_factorlens.results import Observation
from lightning_factorlens.results.findings import StopAdvice
from lightning_factorlens.results.leading_scalar import is_untrained
from lightning_factorlens.stopping.run_advice import SIGNAL, add_signals, advice_of_series, has_decided


def best_tag(tag: str, prefix: str = PREFIX) -> str:
    """The tag of a summary scalar's value at the best observation.

    Args:
        tag: The scalar's own tag.
        prefix: First part of the tags.

    Example:
        >>> best_tag("factorlens/rank_at_30pct"), best_tag("factorlens_spectra/mean_alpha")
        ('factorlens_best/rank_at_30pct', 'factorlens_best/mean_alpha')
    """
    return f"{prefix}_best/{tag.split('/', 1)[1]}"


def best_scalars(measurements: Sequence[Measurement]) -> list[Scalar]:
    """Declarations of the scalars at the best observation: its epoch, and the summary scalars that have no rank.

    Args:
        measurements: The lens's measurements.

    Returns:
        The declarations; none where no scalar tells which observation is best.
    """
    leading = leading_scalar(measurements, "{prefix}")
    if leading is None:
        return []
    where = f"at the observation where `{leading.name}` was best so far"
    if is_judged_by_rule(leading):
        where = f"at the best epoch so far, by LabelFreeStopping or else by its default rule on `{{prefix}}/{SIGNAL}`"
    declared = [Scalar("best_epoch", best_tag("/epoch", "{prefix}"), f"Number of finished epochs {where}.")]
    for measurement in measurements:
        for scalar in measurement.scalars:
            if scalar.summary and "{scope}" not in scalar.tag and "{rank}" not in scalar.tag:
                reading = "Not logged where it is only a lower bound." if scalar.lower_bound else ""
                tag = best_tag(scalar.tag, "{prefix}")
                text = f"`{scalar.tag}` {where}."
                declared.append(Scalar(scalar.quantity, tag, text, reading=reading, unit=scalar.unit))
    return declared


class BestValues:
    """The values at the best observation of a run, observation by observation.

    Args:
        measurements: The lens's measurements.
        prefix: First part of the tags.
        history: The observations that were made before, as in a resumed run.
    """

    def __init__(
        self, measurements: Sequence[Measurement], prefix: str = PREFIX, history: Sequence[Observation] = ()
    ) -> None:
        self._measurements = measurements
        self._prefix = prefix
        self._leading = leading_scalar(measurements, prefix)
        self._history: Sequence[Observation] | None = history
        self._signals: dict[str, dict[int, float]] = {}
        self._latest: dict[str, float] = {}
        self._by_epoch: dict[int, dict[str, float]] = {}
        self._lowest = math.inf
        self._lowest_place: tuple[int, int] | None = None
        self._at_lowest: dict[str, float] = {}
        self._written: dict[str, float] = {}

    def update(self, observation: Observation, advice: StopAdvice | None = None) -> dict[str, float]:
        """The values at the best observation, where they have changed.

        Args:
            observation: The newest observation; the same one again where it has been completed.
            advice: The decision of the run's stopping rule, where there is one; see `best_of_run`.

        Returns:
            Value by tag; empty where nothing has changed, or where there is no best observation. The first call in a
            resumed run returns them in any case.
        """
        if self._history is not None:
            earlier = [past for past in self._history if not _is_same(past, observation)]
            self._history = None
            for past in earlier:
                self._add(past)
        self._add(observation)
        return self.decide(advice)

    def decide(self, advice: StopAdvice | None = None) -> dict[str, float]:
        """The values at the best observation, where they have changed since the last call.

        Args:
            advice: See `update`. That of a callback which decides after `update` changes them without an observation.

        Returns:
            See `update`.
        """
        values = self._best_values(advice)
        if values == self._written:
            return {}
        self._written = values
        return dict(values)

    def _best_values(self, advice: StopAdvice | None) -> dict[str, float]:
        epoch_tag = best_tag("/epoch", self._prefix)
        if is_judged_by_rule(self._leading) and not has_decided(advice):
            advice = advice_of_series(self._signals)
        if advice is not None and advice.best_epoch in self._by_epoch:
            return {epoch_tag: float(advice.best_epoch), **self._by_epoch[advice.best_epoch]}
        if self._lowest_place is None or is_judged_by_rule(self._leading):
            return {}
        return {epoch_tag: float(self._lowest_place[0]), **self._at_lowest}

    def _add(self, observation: Observation) -> None:
        """Takes one observation into account."""
        if self._leading is None or is_untrained(observation):
            return
        values = self._summary_values(observation)
        self._latest = values if observation.is_full else {**self._latest, **values}
        self._by_epoch[observation.epoch] = self._latest
        add_signals(self._signals, observation)
        value = self._leading.value_of(observation)
        if value is None:
            return
        score = self._leading.sign * value
        place = (observation.epoch, observation.step)
        if score < self._lowest or place == self._lowest_place:
            self._lowest = score
            self._lowest_place = place
            self._at_lowest = self._latest

    def _summary_values(self, observation: Observation) -> dict[str, float]:
        """The summary scalars without those of a rank, of the cost, and lower bounds."""
        values = {}
        for tag, entry in summary_values(observation, self._measurements, self._prefix).items():
            if entry.value.rank is None and entry.measurement != "cost" and not is_lower_bound(observation, entry):
                values[best_tag(tag, self._prefix)] = entry.value.value
        return values


def _is_same(one: Observation, other: Observation) -> bool:
    return (one.epoch, one.step) == (other.epoch, other.step)


def latest_values(
    history: Sequence[Observation], at: Observation, measurements: Sequence[Measurement], prefix: str = PREFIX
) -> dict[str, tuple[TaggedValue, Observation]]:
    """The summary scalars at an observation; those that it lacks are of the last full observation before it.

    The values of the untrained network stand for no later observation: scalars that have not been measured since
    training began are left out.

    Args:
        history: The observations of one run, oldest first.
        at: One of them.
        measurements: The lens's measurements.
        prefix: First part of the tags.

    Returns:
        By tag the value and the observation that it is of, in the order of the measurements.
    """
    index = next(k for k, observation in enumerate(history) if observation is at)
    found: dict[str, tuple[TaggedValue, Observation]] = {}
    order: dict[str, None] = {}
    for observation in reversed(history[: index + 1]):
        if is_untrained(observation) and observation is not at:
            break
        values = summary_values(observation, measurements, prefix)
        for tag, entry in values.items():
            found.setdefault(tag, (entry, observation))
        order = dict.fromkeys([*values, *order])
        if observation.is_full:
            break
    return {tag: found[tag] for tag in order}


def is_lower_bound(observation: Observation, entry: TaggedValue) -> bool:
    """Whether a number is only a lower bound.

    Args:
        observation: The observation that the number belongs to.
        entry: The number and its declaration.
    """
    name = entry.scalar.lower_bound
    return bool(name) and observation.get_value(name, entry.value.scope) == 1.0

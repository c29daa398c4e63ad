"""The numbers of an observation as tags and values, derived from the measurements' declarations.

A tag has only letters, digits and ``- / . _``; TensorBoard groups tags by the text before the first slash. Values that
are not finite are left out: ``EarlyStopping(check_finite=True)`` would end the training on a NaN.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lightning_factorlens.measurements import Measurement, ObservationCost, Scalar
from lightning_factorlens.results import Observation, Value
from lightning_factorlens.results.curves import middle_rank

#: The first part of every tag; another one lets two lenses write to one Trainer's loggers.
PREFIX = "factorlens"


@dataclass(frozen=True)
class TaggedValue:
    """One number with its tag and its declaration.

    Attributes:
        tag: Where loggers write it.
        value: The number, finite.
        scalar: Its declaration.
        measurement: Name of the measurement that declares it.
    """

    tag: str
    value: Value
    scalar: Scalar
    measurement: str


def with_cost(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The measurements and the declaration of what they cost, whose record every observation has."""
    return [*measurements, ObservationCost()]


def tagged_values(
    observation: Observation, measurements: Sequence[Measurement], prefix: str = PREFIX
) -> Iterator[TaggedValue]:
    """Every declared and finite number of an observation.

    Args:
        observation: The observation.
        measurements: Those that made it; a record of another one has no tags.
        prefix: First part of every tag.

    Raises:
        ValueError: ``prefix`` cannot be part of a tag, two numbers have one tag, or one lacks what its tag shows.
    """
    check_prefix(prefix)
    owners: dict[str, Value] = {}
    for measurement in with_cost(measurements):
        record = observation.get(measurement.name)
        if record is None:
            continue
        values = list(record.values())
        labels = scope_labels(values)
        for value in values:
            scalar = measurement.scalar_of(value)
            if scalar is not None and math.isfinite(value.value):
                _check_parts(scalar, value)
                tag = scalar.tag.format(prefix=prefix, scope=labels.get(value.scope), rank=value.rank)
                if tag in owners:
                    raise ValueError(
                        f"measurements: {measurement.name!r} gives two numbers for the tag {tag!r}, {owners[tag]} and "
                        f"{value}; put {{scope}} or {{rank}} into the declared tag, or declare one scope alone."
                    )
                owners[tag] = value
                yield TaggedValue(tag, value, scalar, measurement.name)


def _check_parts(scalar: Scalar, value: Value) -> None:
    for name, part in (("scope", value.scope), ("rank", value.rank)):
        if part is None and f"{{{name}}}" in scalar.tag:
            raise ValueError(f"measurements: the tag {scalar.tag!r} shows the {name}, found {value} without one.")


def monitored_scalars(
    observation: Observation, measurements: Sequence[Measurement], prefix: str = PREFIX
) -> dict[str, float]:
    """The scalars that also go through ``LightningModule.log``; see `tagged_values` for the arguments.

    Returns:
        Value by tag.
    """
    tagged = tagged_values(observation, measurements, prefix)
    return {entry.tag: entry.value.value for entry in tagged if entry.scalar.monitored}


def other_scalars(
    observation: Observation, measurements: Sequence[Measurement], prefix: str = PREFIX
) -> dict[str, float]:
    """All other scalars: by part, block and layer, and the cost by phase; see `tagged_values` for the arguments.

    Returns:
        Value by tag.
    """
    tagged = tagged_values(observation, measurements, prefix)
    return {entry.tag: entry.value.value for entry in tagged if not entry.scalar.monitored}


def summary_values(
    observation: Observation, measurements: Sequence[Measurement], prefix: str = PREFIX
) -> dict[str, TaggedValue]:
    """The scalars of tables of runs; of a curve over ranks the value at the middle rank.

    Returns:
        Tagged value by tag, in the order of the measurements.
    """
    tagged = [entry for entry in tagged_values(observation, measurements, prefix) if entry.scalar.summary]
    ranks = sorted({entry.value.rank for entry in tagged if entry.value.rank is not None})
    middle = middle_rank(ranks) if ranks else None
    return {entry.tag: entry for entry in tagged if entry.value.rank in (None, middle)}


def check_prefix(prefix: str) -> str:
    """``prefix`` itself, where TensorBoard would keep it as one group.

    Raises:
        ValueError: It is empty or has other characters than letters, digits, ``-``, ``.`` and ``_``.
    """
    if not re.fullmatch(r"[-\w.]+", prefix, flags=re.ASCII):
        raise ValueError(f"prefix: may have letters, digits and '-', '.', '_' only, found {prefix!r}.")
    return prefix


def tag_names(names: Iterable[str]) -> list[str]:
    """Names made fit for tags, in order, and as distinct as they were given.

    A model that is a single layer has the empty name, which becomes ``_``.

    Example:
        >>> tag_names(["layer 1", "layer_1", ""])
        ['layer_1', 'layer_1_2', '_']
    """
    used: set[str] = set()
    labels = []
    for name in names:
        stem = re.sub(r"[^-/\w.]", "_", name, flags=re.ASCII).strip("/") or "_"
        label = stem
        copy = 2
        while label in used:
            label = f"{stem}_{copy}"
            copy += 1
        used.add(label)
        labels.append(label)
    return labels


def scope_labels(values: Sequence[Value], further: Iterable[str] = ()) -> dict[str | None, str]:
    """What stands in tags for the scopes of one record, in the order of appearance.

    Args:
        values: All values of the record.
        further: Scopes that no value may have, such as those of histograms.

    Returns:
        Label by scope.
    """
    scopes: dict[str, None] = {}
    for value in values:
        if value.scope is not None:
            scopes[value.scope] = None
    scopes |= dict.fromkeys(further)
    labels: dict[str | None, str] = dict(zip(scopes, tag_names(scopes)))
    return labels

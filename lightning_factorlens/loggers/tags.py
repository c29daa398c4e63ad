"""The numbers of an observation as tags and values, derived from the measurements' declarations.

TensorBoard groups tags by the text before the first slash. Values that are not finite are left out:
``EarlyStopping(check_finite=True)`` would end the training on a NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lightning_factorlens.loggers.labels import check_prefix, scope_labels
from lightning_factorlens.measurements import Measurement, ObservationCost, Scalar
from lightning_factorlens.results import Observation, Value
from lightning_factorlens.results.curves import middle_rank

#: The first part of every tag. Two lenses in one Trainer need two of them.
PREFIX = "factorlens"


@dataclass(frozen=True)
class TaggedValue:
    """One number with its tag and its declaration.

    Attributes:
        tag: The name under which loggers write it.
        value: The number, finite.
        scalar: Its declaration.
        measurement: Name of the measurement that declares it.
    """

    tag: str
    value: Value
    scalar: Scalar
    measurement: str


def with_cost(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Appends the declaration of the observations' cost, whose record every observation has.

    Args:
        measurements: The lens's measurements.

    Returns:
        A new list.
    """
    return [*measurements, ObservationCost()]


def tagged_values(
    observation: Observation, measurements: Sequence[Measurement], prefix: str = PREFIX
) -> Iterator[TaggedValue]:
    """Every declared and finite number of an observation.

    Args:
        observation: The observation.
        measurements: The measurements that made it; a record of any other measurement has no tags.
        prefix: First part of every tag.

    Yields:
        The numbers with their tags, in the order of the measurements, the cost last.

    Raises:
        ValueError: ``prefix`` cannot be part of a tag, two numbers have one tag, or one lacks what its tag shows.

    Example:
        >>> from lightning_factorlens.measurements import Consistency
        >>> from lightning_factorlens.results import Scalars
        >>> observation = Observation(epoch=3, step=300, records={"consistency": Scalars({"consistency": 0.5})})
        >>> [(entry.tag, entry.value.value) for entry in tagged_values(observation, [Consistency()])]
        [('factorlens/consistency', 0.5)]
    """
    check_prefix(prefix)
    owners: dict[str, Value] = {}
    for entry in _all_tagged_values(observation, measurements, prefix):
        value = entry.value
        if math.isfinite(value.value):
            _check_parts(entry.scalar, value)
            if entry.tag in owners:
                raise ValueError(
                    f"measurements: {entry.measurement!r} gives two numbers for the tag {entry.tag!r}, "
                    f"{owners[entry.tag]} and {value}; put {{scope}} or {{rank}} into the declared tag, or declare one "
                    "scope alone."
                )
            owners[entry.tag] = value
            yield entry


def _all_tagged_values(
    observation: Observation, measurements: Sequence[Measurement], prefix: str
) -> Iterator[TaggedValue]:
    """Every declared number, also those that are not finite."""
    for measurement in with_cost(measurements):
        record = observation.get(measurement.name)
        if record is None:
            continue
        values = list(record.values())
        labels = scope_labels(values)
        for scalar, value in _declared_values(measurement, values):
            tag = scalar.tag.format(prefix=prefix, scope=labels.get(value.scope), rank=value.rank)
            yield TaggedValue(tag, value, scalar, measurement.name)


def _declared_values(measurement: Measurement, values: Sequence[Value]) -> list[tuple[Scalar, Value]]:
    """The values with their declarations, in the order of the declarations, which is that of the charts."""
    position = {scalar: index for index, scalar in enumerate(measurement.scalars)}
    declared = []
    for value in values:
        scalar = measurement.scalar_of(value)
        if scalar is not None:
            declared.append((scalar, value))
    declared.sort(key=lambda pair: position[pair[0]])
    return declared


def _check_parts(scalar: Scalar, value: Value) -> None:
    for name, part in (("scope", value.scope), ("rank", value.rank)):
        if part is None and f"{{{name}}}" in scalar.tag:
            raise ValueError(f"measurements: the tag {scalar.tag!r} shows the {name}, found {value} without one.")


def monitored_scalars(
    observation: Observation, measurements: Sequence[Measurement], prefix: str = PREFIX
) -> dict[str, float]:
    """The scalars that callbacks find in ``Trainer.callback_metrics``.

    Args:
        observation: The observation.
        measurements: The measurements that made it.
        prefix: First part of every tag.

    Returns:
        Value by tag.

    Example:
        >>> from lightning_factorlens.measurements import Consistency
        >>> from lightning_factorlens.results import Scalars
        >>> observation = Observation(epoch=3, step=300, records={"consistency": Scalars({"consistency": 0.5})})
        >>> monitored_scalars(observation, [Consistency()], prefix="probe_a")
        {'probe_a/consistency': 0.5}
    """
    return _scalars(observation, measurements, prefix, monitored=True)


def undefined_tags(observation: Observation, measurements: Sequence[Measurement], prefix: str = PREFIX) -> list[str]:
    """The tags that `monitored_scalars` leaves out because the numbers are NaN or infinite.

    Args:
        observation: The observation.
        measurements: The measurements that made it.
        prefix: First part of every tag.

    Returns:
        The tags, in the order of the measurements.

    Example:
        >>> from lightning_factorlens.measurements import Consistency
        >>> from lightning_factorlens.results import Scalars
        >>> observation = Observation(3, 300, records={"consistency": Scalars({"consistency": math.nan})})
        >>> undefined_tags(observation, [Consistency()])
        ['factorlens/consistency']
    """
    tags = []
    for entry in _all_tagged_values(observation, measurements, prefix):
        if entry.scalar.monitored and not math.isfinite(entry.value.value):
            tags.append(entry.tag)
    return tags


def other_scalars(
    observation: Observation, measurements: Sequence[Measurement], prefix: str = PREFIX
) -> dict[str, float]:
    """All other scalars: by part, block and layer, and the cost by phase.

    Args:
        observation: The observation.
        measurements: The measurements that made it.
        prefix: First part of every tag.

    Returns:
        Value by tag.
    """
    return _scalars(observation, measurements, prefix, monitored=False)


def _scalars(
    observation: Observation, measurements: Sequence[Measurement], prefix: str, monitored: bool
) -> dict[str, float]:
    found = {}
    for entry in tagged_values(observation, measurements, prefix):
        if entry.scalar.monitored == monitored:
            found[entry.tag] = entry.value.value
    return found


def summary_values(
    observation: Observation, measurements: Sequence[Measurement], prefix: str = PREFIX
) -> dict[str, TaggedValue]:
    """The scalars that tables of runs show; a curve over ranks is represented by its value at the middle rank.

    Args:
        observation: The observation.
        measurements: The measurements that made it.
        prefix: First part of every tag.

    Returns:
        Tagged value by tag, in the order of the measurements.
    """
    tagged = []
    for entry in tagged_values(observation, measurements, prefix):
        if entry.scalar.summary:
            tagged.append(entry)
    middle = middle_rank_of(tagged)
    found = {}
    for entry in tagged:
        if entry.value.rank in (None, middle):
            found[entry.tag] = entry
    return found


def middle_rank_of(tagged: Iterable[TaggedValue]) -> int | None:
    """The middle one of the ranks that occur in some tagged values.

    Args:
        tagged: The tagged values.

    Returns:
        The rank; None where none of the values has a rank.
    """
    ranks: set[int] = set()
    for entry in tagged:
        if entry.value.rank is not None:
            ranks.add(entry.value.rank)
    if not ranks:
        return None
    return middle_rank(sorted(ranks))

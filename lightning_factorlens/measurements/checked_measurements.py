"""Checks of a user's list of measurements: what each declares, and that no two of them write the same tag."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from lightning_factorlens._validation import check_choice
from lightning_factorlens.measurements.base import NEEDS, FigureSpec, Measurement
from lightning_factorlens.measurements.scalar import Scalar

#: Names that no measurement may have: the record of the cost, its quantities, and phases in it.
RESERVED_NAMES = ("capture", "cost", "factorization", "overhead", "seconds", "signal_only", "total", "writing")


def check_measurements(measurements: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Checks a user's list of measurements.

    Args:
        measurements: Objects with distinct names and tags, at least one.

    Returns:
        The measurements as a tuple.

    Raises:
        TypeError: An entry that is not a `Measurement` object.
        ValueError: An empty list, a wrong name or need, two of one name, or two declarations of one tag.

    Example:
        >>> from lightning_factorlens.measurements import Consistency
        >>> check_measurements([Consistency()])
        (Consistency(shift=None),)
    """
    if not isinstance(measurements, (list, tuple)) or not measurements:
        raise ValueError(
            f"measurements: must be a non-empty list of Measurement objects, found {measurements!r}; "
            "pass None for the default ones."
        )
    for measurement in measurements:
        _check_measurement(measurement)
    names = [measurement.name for measurement in measurements]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"measurements: {name!r} is listed {names.count(name)} times; list every name once.")
    _check_tags(measurements)
    return tuple(measurements)


def _check_measurement(measurement: Measurement) -> None:
    if not isinstance(measurement, Measurement):
        raise TypeError(
            f"measurements: found {measurement!r}; give objects of classes derived from Measurement, such as "
            "Consistency()."
        )
    name = getattr(measurement, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"\w+", name, flags=re.ASCII):
        raise ValueError(
            f"measurements: {type(measurement).__name__}.name must have letters, digits and underscores only, "
            f"found {name!r}."
        )
    if name in RESERVED_NAMES:
        raise ValueError(
            f"measurements: {type(measurement).__name__}.name is {name!r}, as is a part of the lens's cost; rename it."
        )
    if isinstance(measurement.needs, str) or not isinstance(measurement.needs, Collection):
        raise ValueError(
            f"measurements: {name}.needs must be a set of names, found {measurement.needs!r}; write e.g. "
            "frozenset({'capture'})."
        )
    for need in measurement.needs:
        check_choice(f"measurements: {name}.needs", need, NEEDS)
    for attribute, kind in (("scalars", Scalar), ("figures", FigureSpec)):
        declared = getattr(measurement, attribute)
        if not isinstance(declared, (tuple, list)) or not all(isinstance(entry, kind) for entry in declared):
            raise ValueError(
                f"measurements: {name}.{attribute} must be a tuple of {kind.__name__} objects, found {declared!r}; "
                f"write ({kind.__name__}(…),)."
            )


def _check_tags(measurements: Sequence[Measurement]) -> None:
    declared: dict[str, list[tuple[Measurement, Scalar]]] = {}
    for measurement in measurements:
        for scalar in measurement.scalars:
            others = declared.setdefault(scalar.tag, [])
            for owner, other in others:
                if not _are_distinct(scalar, other, owner is measurement):
                    raise ValueError(
                        f"measurements: the tag {scalar.tag!r} is declared by {owner.name!r} and {measurement.name!r}; "
                        "give one of them another tag."
                    )
            others.append((measurement, scalar))


def _are_distinct(scalar: Scalar, other: Scalar, of_one_measurement: bool) -> bool:
    """Whether two declarations with equal tags never write the same tag: their scopes differ, and the tag shows it."""
    if "{scope}" not in scalar.tag or scalar.quantity != other.quantity or scalar.scope == other.scope:
        return False
    # Without a scope, a declaration describes all scopes that no other declaration of its own measurement names.
    return of_one_measurement or None not in (scalar.scope, other.scope)

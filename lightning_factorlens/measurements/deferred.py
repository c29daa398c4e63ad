"""Measurements of which a part is computed beside the training, and the records that measurements return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lightning_factorlens.background import Task
from lightning_factorlens.measurements.base import Measurement
from lightning_factorlens.results import Record, Scalars


@dataclass(frozen=True)
class Deferred:
    """The result of a measurement that is not known yet; see `Context.deferred`.

    Attributes:
        task: The part that is computed on another thread.
        finish: Makes what `Measurement.measure` returns from its result.
    """

    task: Task[Any]
    finish: Callable[[Any], Record | Mapping[str, float] | None]

    def result(self) -> Record | Mapping[str, float] | None:
        """Waits for the task and returns what the measurement has found.

        Raises:
            Exception: The error of the measurement.
        """
        return self.finish(self.task.result())


def as_record(measurement: Measurement, found: Any) -> Record:
    """Converts the result of a measurement to a record.

    Args:
        measurement: The measurement.
        found: What it has returned, not None.

    Raises:
        TypeError: It is neither a record nor a dictionary of numbers.
        ValueError: A dictionary has a quantity that the measurement does not declare, so that no logger would show it.
    """
    if isinstance(found, Record):
        return found
    try:
        record = Scalars(found)
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"measurements: {measurement.name!r} must return a Record, a dictionary of numbers by quantity, or None, "
            f"found {found!r}; change its method `measure`."
        ) from error
    declared = [scalar.quantity for scalar in measurement.scalars]
    undeclared = [quantity for quantity in record.numbers if quantity not in declared]
    if declared and undeclared:
        raise ValueError(
            f"measurements: {measurement.name!r} returned {undeclared[0]!r}, which none of its scalars declares; "
            f"declared are {', '.join(map(repr, declared))}. Declare it, or return a Record for numbers that only data "
            "frames show."
        )
    return record

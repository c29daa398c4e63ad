"""What a measurement is: declarations of its scalars and figures, what it needs, and the function that measures.

Everything that shows a number derives from these declarations: tags, TensorBoard's layout, its help page, the columns
of its HParams page, the closing table, the table of tags in the documentation.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor

from lightning_factorlens._validation import check_choice
from lightning_factorlens.results import Observation, Record, Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lightning_factorlens.measurements.context import Context

#: Names that no measurement may have: the record of the cost, and phases in it.
RESERVED_NAMES = ("capture", "cost", "factorization", "total", "writing")
#: What a measurement may need; see `Measurement.needs`.
NEEDS = ("capture", "factorization", "forward", "gradients", "weights")


@dataclass(frozen=True)
class Scalar:
    """The declaration of one scalar, or of a family that differs by scope and rank.

    Attributes:
        quantity: Name of the quantity, as the record's values and `to_frame` have it.
        tag: Where loggers write it. ``{prefix}``, ``{scope}`` and ``{rank}`` are replaced.
        help: What it is, in one sentence.
        reading: How to read it; empty where ``help`` says enough.
        unit: Its unit; empty for a pure number.
        better: ``"lower"`` or ``"higher"``; None where neither is better.
        scope: Declares only the values of this scope; None declares those of every scope that no other declaration of
            the quantity names.
        chart: Title of the chart in TensorBoard's custom scalars that shows it; empty for none. A title that holds
            ``{rank}`` shows the middle rank only.
        margin_of: For a lower bound of another quantity, that quantity's name: the chart shades the gap between them.
        lower_bound: Name of the quantity that is 1 where this one is only a lower bound; empty for none.
        monitored: Whether it also passes through ``LightningModule.log``, so that other callbacks can monitor it.
        summary: Whether it stands in tables of runs: TensorBoard's HParams, the closing table, the progress line.

    Raises:
        ValueError: A tag without ``{prefix}`` in front, other fields in braces than those, or an unknown direction.
    """

    quantity: str
    tag: str
    help: str
    reading: str = ""
    unit: str = ""
    better: Literal["lower", "higher"] | None = None
    scope: str | None = None
    chart: str = ""
    margin_of: str = ""
    lower_bound: str = ""
    monitored: bool = False
    summary: bool = False

    def __post_init__(self) -> None:
        if not re.match(r"\{prefix\}[/_]", self.tag):
            raise ValueError(
                f"tag: must begin with '{{prefix}}/' or '{{prefix}}_', found {self.tag!r}; "
                f"write e.g. '{{prefix}}/{self.quantity}'."
            )
        _check_fields("tag", self.tag, ("prefix", "scope", "rank"))
        _check_fields("chart", self.chart, ("rank",))
        if self.better is not None:
            check_choice("better", self.better, ("lower", "higher"))

    def matches(self, value: Value) -> bool:
        """Whether a value is declared here."""
        return value.quantity == self.quantity and self.scope in (None, value.scope)


@dataclass(frozen=True)
class FigureSpec:
    """The declaration of one figure.

    Attributes:
        name: Name of the image in the loggers.
        draw: Draws it from the observations of the run, oldest first. The last one is whole, the others are without
            their tensors. Returns None where there is nothing to draw.
        help: How to read it, in one or two sentences.
    """

    name: str
    draw: Callable[[Sequence[Observation]], Figure | None]
    help: str


class Measurement(ABC):
    """One measurement: an object with its options, in a file of its own.

    A subclass declares what it gives and what it needs, and measures. It must not change the model, its gradients or
    any random state. Objects are immutable: whatever has to last from one observation to the next goes through
    ``context.state``.

    Example:
        >>> class LargestActivation(Measurement):
        ...     name = "largest_activation"
        ...     needs = frozenset({"capture"})
        ...     scalars = (Scalar("largest_activation", "{prefix}/largest_activation", "Largest captured activation."),)
        ...
        ...     def measure(self, context):
        ...         return {"largest_activation": max(float(b.samples.max()) for b in context.capture.layers)}

    Attributes:
        name: Name of its record in an observation; letters, digits and underscores.
        needs: What it reads of the context: ``"capture"`` (the probe's activations and outputs), ``"factorization"``
            (the factors of inputs and activations), ``"forward"`` (further forward passes through the model),
            ``"gradients"`` (forward passes with gradients), ``"weights"`` (the model's weight matrices).
        scalars: Its scalars.
        figures: Its figures.
        record_type: The class of its records, where that is one of the user's own, so that checkpoints and JSON lines
            give it back; None for dictionaries and the record classes of `lightning_factorlens.results`.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    scalars: ClassVar[tuple[Scalar, ...]] = ()
    figures: ClassVar[tuple[FigureSpec, ...]] = ()
    record_type: ClassVar[type[Record] | None] = None

    @abstractmethod
    def measure(self, context: Context) -> Record | Mapping[str, float] | None:
        """Measures.

        Args:
            context: The model, the probe and what was computed from them; see `Context`.

        Returns:
            A record, or a dictionary of numbers by quantity. None where there is nothing to report.
        """

    def histograms(self, record: Any) -> Iterator[tuple[str, str, Tensor]]:
        """Distributions for loggers that show histograms.

        Args:
            record: What `measure` returned.

        Yields:
            The tag, which may hold ``{prefix}`` and ``{scope}``, the scope, and the values.
        """
        yield from ()

    def scalar_of(self, value: Value) -> Scalar | None:
        """The declaration of a value; None for a number that only data frames show."""
        exact = [scalar for scalar in self.scalars if scalar.matches(value) and scalar.scope is not None]
        general = [scalar for scalar in self.scalars if scalar.matches(value) and scalar.scope is None]
        declared = exact or general
        return declared[0] if declared else None


def _check_fields(name: str, template: str, allowed: tuple[str, ...]) -> None:
    """Refuses a template that could not be filled in once there is a value."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        parts = [("", None, None, None), ("", template, "", None)]
    for _, field, format_spec, conversion in parts:
        if field is not None and (field not in allowed or format_spec or conversion):
            names = ", ".join(f"{{{field}}}" for field in allowed)
            raise ValueError(f"{name}: may have {names} in braces and no other braces, found {template!r}.")


def record_types(measurements: Sequence[Measurement]) -> dict[str, type[Record]]:
    """The record classes that measurements declare, by the names of the measurements."""
    found = {}
    for measurement in measurements:
        if measurement.record_type is not None:
            found[measurement.name] = measurement.record_type
    return found


def check_measurements(measurements: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Checks a user's list of measurements.

    Returns:
        The measurements as a tuple.

    Raises:
        TypeError: An entry that is not a `Measurement` object.
        ValueError: An empty list, a wrong name or need, two of one name, or two declarations of one tag.
    """
    if not isinstance(measurements, (list, tuple)) or not measurements:
        raise ValueError(f"measurements: must be a non-empty list of Measurement objects, found {measurements!r}.")
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
    for need in measurement.needs:
        check_choice(f"measurements: {name}.needs", need, NEEDS)


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

"""The interface of measurements: declarations of figures and needs beside the scalars, and the function that measures.

All texts about a number derive from these declarations: tags, TensorBoard's layout, its help page, the columns
of its HParams page, the closing table and the table of tags in the documentation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from lightning_factorlens.measurements.scalar import Detail, Scalar
from lightning_factorlens.results import Record, Value
from lightning_factorlens.results.quantities import declare_quantities

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lightning_factorlens.measurements.context import Context
    from lightning_factorlens.measurements.deferred import Deferred

#: Allowed needs of a measurement; see `Measurement.needs`.
NEEDS = ("capture", "class_scores", "factorization", "forward", "gradients", "outputs", "weights")


@dataclass(frozen=True)
class FigureSpec:
    """The declaration of one figure.

    Attributes:
        name: Name of the image in the loggers.
        draw: Draws it from the observations of the run, oldest first. The last one is whole, the others are without
            their tensors. Returns None where there is nothing to draw.
        help: How to read it, in one or two sentences.
        needs_tensors: Whether the last of the observations must be a full one with its tensors. False where the numbers
            of the history suffice.
        takes_advice: Whether ``draw`` also takes, as ``advice``, the `StopAdvice` of the run's stopping rule; None
            where there is no rule.
        record: Name of a record that it needs and that not every full observation has: the last of the observations is
            then the last one that has it, and holds the tensors of this record alone. Empty for none.
        tag: Under which loggers write it, ``{prefix}`` being replaced; empty for the group of all figures, where a
            number before the name keeps their order.
    """

    name: str
    draw: Callable[..., Figure | None]
    help: str
    needs_tensors: bool = True
    takes_advice: bool = False
    record: str = ""
    tag: str = ""


class Measurement(ABC):
    """One measurement: an object with its options, in a file of its own.

    A subclass declares its scalars, figures and needs, and defines `measure`. It must not change the model, its
    gradients or any random state. Objects are immutable: data for the next observation are kept with
    ``context.keep_state`` and read as ``context.state``.

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
        needs: The parts of the context that it reads: ``"capture"`` (the probe's activations and outputs),
            ``"factorization"`` (the factors of inputs and activations), ``"forward"`` (further forward passes through
            the model), ``"gradients"`` (forward passes with gradients), ``"weights"`` (the model's weight matrices),
            ``"class_scores"`` (the model's output, where it is read as scores of classes that exclude each other: the
            measurement is left out, with a note, where it is not), ``"outputs"`` (the model's output, whatever it is
            read as).
        uses: Parts of the context that it reads where they exist, and without which it is made all the same:
            ``"class_scores"``, by `Context.capture`.
        scalars: Its scalars.
        figures: Its figures.
        is_signal: Whether every observation makes it, also where `max_overhead` does not allow a full one, so that its
            values do not depend on the clock. It should be cheap.
        record_type: The class of its records if it is the user's own, so that it can be restored from checkpoints and
            JSON lines; None for dictionaries and the record classes of `lightning_factorlens.results`.
        histogram_detail: The level of the callback's argument ``detail`` from which loggers get its histograms.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    uses: ClassVar[frozenset[str]] = frozenset()
    scalars: ClassVar[tuple[Scalar, ...]] = ()
    figures: ClassVar[tuple[FigureSpec, ...]] = ()
    record_type: ClassVar[type[Record] | None] = None
    histogram_detail: ClassVar[Detail] = "summary"
    is_signal: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Makes its quantities known to `Observation.value`."""
        super().__init_subclass__(**options)
        if isinstance(cls.scalars, (tuple, list)):
            declare_quantities(scalar.quantity for scalar in cls.scalars if isinstance(scalar, Scalar))

    @abstractmethod
    def measure(self, context: Context) -> Record | Mapping[str, float] | Deferred | None:
        """Makes the measurement.

        Args:
            context: The model, the probe and the results computed from them; see `Context`.

        Returns:
            A record, or a dictionary of numbers by quantity. None where there is nothing to report. The result of
            `Context.deferred` where a part is computed beside the training.
        """

    def check_model(self, model: nn.Module) -> None:  # noqa: B027
        """Refuses options that do not fit the model, such as names of layers that it lacks; before any observation.

        Args:
            model: The model that will be observed.

        Raises:
            ValueError: An option does not fit; by default nothing is raised.
        """

    def histograms(self, record: Any) -> Iterator[tuple[str, str, Tensor]]:
        """Distributions for loggers that show histograms.

        Args:
            record: The result of `measure`, as a record.

        Yields:
            The tag, which may hold ``{prefix}`` and ``{scope}``, the scope, and the values.
        """
        yield from ()

    def scalar_of(self, value: Value) -> Scalar | None:
        """The declaration of a value; None for a number that only data frames show."""
        general = None
        for scalar in self.scalars:
            if scalar.matches(value):
                if scalar.scope is not None:
                    return scalar
                general = general or scalar
        return general


def record_types(measurements: Sequence[Measurement]) -> dict[str, type[Record]]:
    """The record classes that measurements declare.

    Args:
        measurements: The measurements.

    Returns:
        Class by the measurement's name; a measurement that declares none has no entry.

    Example:
        >>> from lightning_factorlens.measurements import default_measurements
        >>> record_types(default_measurements())
        {}
    """
    found = {}
    for measurement in measurements:
        if measurement.record_type is not None:
            found[measurement.name] = measurement.record_type
    return found

"""Numbers that an image is optimised for, and weighted sums of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from lightning_factorlens._validation import is_number
from lightning_factorlens.visualization.readings import LayerOutput, Reading


class Objective(ABC):
    """A number for every image, a weighted sum of terms; objectives can be added, subtracted and multiplied.

    Example:
        >>> from lightning_factorlens.visualization import Channel
        >>> objective = Channel("conv2", 3) - 0.5 * Channel("conv2", 4)
        >>> str(objective)
        'conv2 channel 3 - 0.5 * conv2 channel 4'
    """

    @abstractmethod
    def terms(self) -> tuple[tuple[float, Term], ...]:
        """The weight of every term, and the term."""

    def __add__(self, other: Objective) -> WeightedSum:
        if not isinstance(other, Objective):
            raise TypeError(f"other: to an objective another one can be added, found {other!r:.200}.")
        return WeightedSum((*self.terms(), *other.terms()))

    def __sub__(self, other: Objective) -> WeightedSum:
        return self + other * -1.0

    def __mul__(self, weight: float) -> WeightedSum:
        if not is_number(weight):
            raise TypeError(f"weight: an objective can be multiplied by a number, found {weight!r}.")
        return WeightedSum(tuple((weight * own, term) for own, term in self.terms()))

    __rmul__ = __mul__

    def __neg__(self) -> WeightedSum:
        return self * -1.0


@dataclass(frozen=True, eq=False)
class WeightedSum(Objective):
    """Several terms with their weights; see `Objective`.

    Attributes:
        parts: The weight of every term, and the term.
    """

    parts: tuple[tuple[float, Term], ...]

    def terms(self) -> tuple[tuple[float, Term], ...]:
        """The weight of every term, and the term."""
        return self.parts

    def __str__(self) -> str:
        text = ""
        for weight, term in self.parts:
            size = "" if abs(weight) == 1 else f"{abs(weight):g} * "
            sign = " - " if weight < 0 else " + "
            text += f"{sign if text else sign.strip(' +')}{size}{term}"
        return text


class Term(Objective):
    """One number that is read from one layer's output.

    Attributes:
        layer: Name of the layer.
    """

    layer: str

    @abstractmethod
    def reading(self, output: LayerOutput) -> Reading:
        """How the term is read from the output of its layer.

        Args:
            output: What one forward pass has shown of the layer.

        Raises:
            ValueError: The layer has no such unit.
        """

    def terms(self) -> tuple[tuple[float, Term], ...]:
        """The term itself with the weight 1."""
        return ((1.0, self),)

"""What an image is optimised for: units, directions and singular vectors of layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lightning_factorlens._validation import check_choice
from lightning_factorlens.visualization.objective_base import Term
from lightning_factorlens.visualization.readings import OUTPUT, LayerOutput, Reading

#: How the values of a term at all positions become one.
SIGNALS = ("mean", "max")


@dataclass(frozen=True)
class Channel(Term):
    """The mean or largest value of a channel; of a linear layer, the value of a unit.

    Attributes:
        layer: Name of the layer.
        index: Number of the channel.
        signal: ``"mean"`` over the positions, or ``"max"``.
        axis: Axis of the output that holds the channels; found by the layer's type unless given.
    """

    layer: str
    index: int
    signal: str = "mean"
    axis: int | None = None

    def reading(self, output: LayerOutput) -> Reading:
        """See `Term.reading`."""
        check_choice("signal", self.signal, SIGNALS)
        found = replace(output, axis=self.axis)
        return Reading(found.unit(self.index), self.signal, found.channel_axis)

    def __str__(self) -> str:
        return f"{self.layer} channel {self.index}{_suffix(self.signal)}"


@dataclass(frozen=True)
class Neuron(Term):
    """The value of a channel at one position.

    Attributes:
        layer: Name of the layer.
        index: Number of the channel.
        position: One entry for each axis of positions; the middle unless given.
        axis: Axis of the output that holds the channels; found by the layer's type unless given.
    """

    layer: str
    index: int
    position: tuple[int, ...] | None = None
    axis: int | None = None

    def reading(self, output: LayerOutput) -> Reading:
        """See `Term.reading`."""
        found = replace(output, axis=self.axis)
        position = found.flat_position(self.position)
        return Reading(found.unit(self.index), "position", found.channel_axis, position=position)

    def __str__(self) -> str:
        where = "the middle" if self.position is None else str(self.position)
        return f"{self.layer} channel {self.index} at {where}"


@dataclass(frozen=True)
class SingularVector(Term):
    """The signal of a singular vector of a convolution or linear layer, without the bias: mean of U_iᵀ(Y − b).

    Equal to s_i ⟨v_i, Ψ(x)⟩ over the receptive fields Ψ(x) of the layer's input; equation 19 of "Singular vectors of
    neural networks' linear layers" has the sum in place of the mean. Vectors of the groups of a convolution
    follow one another, the largest singular value of each group first.

    Attributes:
        layer: Name of the layer.
        index: Number of the vector.
        signal: ``"mean"`` over the positions, or ``"max"``.
    """

    layer: str
    index: int
    signal: str = "mean"

    def reading(self, output: LayerOutput) -> Reading:
        """See `Term.reading`."""
        check_choice("signal", self.signal, SIGNALS)
        direction, offset = output.singular_vector(self.index)
        return Reading(direction, self.signal, output.channel_axis, offset)

    def __str__(self) -> str:
        return f"{self.layer} vector {self.index}{_suffix(self.signal)}"


@dataclass(frozen=True, eq=False)
class Direction(Term):
    """The signal along a direction in a layer's channels, such as a concept's.

    Attributes:
        layer: Name of the layer.
        vector: Shape (channels,).
        signal: ``"mean"`` over the positions, or ``"max"``.
        name: What the direction is, for titles.
        axis: Axis of the output that holds the channels; found by the layer's type unless given.
    """

    layer: str
    vector: Tensor
    signal: str = "mean"
    name: str = "direction"
    axis: int | None = None

    def reading(self, output: LayerOutput) -> Reading:
        """See `Term.reading`."""
        check_choice("signal", self.signal, SIGNALS)
        found = replace(output, axis=self.axis)
        vector = torch.as_tensor(self.vector).detach().float().to(output.device)
        if vector.shape != (found.n_channels,) or not bool(torch.isfinite(vector).all()):
            raise ValueError(
                f"vector: must hold {found.n_channels} finite numbers, one for each channel of {self.layer!r}, found "
                f"the shape {tuple(vector.shape)}."
            )
        return Reading(vector, self.signal, found.channel_axis)

    def __str__(self) -> str:
        return f"{self.layer} {self.name}{_suffix(self.signal)}"


@dataclass(frozen=True)
class Logit(Term):
    """One entry of the model's output; of several positions, their mean.

    Attributes:
        index: Number of the entry.
    """

    index: int
    layer = OUTPUT

    def reading(self, output: LayerOutput) -> Reading:
        """See `Term.reading`."""
        return Reading(output.unit(self.index), "mean", output.channel_axis)

    def __str__(self) -> str:
        return f"output {self.index}"


def _suffix(signal: str) -> str:
    return "" if signal == "mean" else f" ({signal})"

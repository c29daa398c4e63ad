"""What is read from the output of a layer, and what must be known of the layer for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from lightning_factorlens._validation import check_positions
from lightning_factorlens.capture.linear_layers import LinearLayer
from lightning_factorlens.linalg.singular_vectors import SingularVectors, singular_vectors
from lightning_factorlens.linalg.unfolding import unfold_weight

#: In place of a layer's name: the output of the model.
OUTPUT = "the output"


@dataclass(frozen=True, eq=False)
class Reading:
    """A number that is read from a layer's output Y: of ⟨direction, Y⟩ − offset at all positions one value.

    Attributes:
        direction: Shape (channels,), float32.
        pooling: ``"mean"``, ``"max"`` or ``"position"``.
        axis: Axis of the channels.
        offset: What is subtracted: the part of the bias.
        position: The position, counted over all axes; of ``"position"`` alone.
    """

    direction: Tensor
    pooling: str
    axis: int
    offset: float = 0.0
    position: int = 0


@dataclass(frozen=True, eq=False)
class LayerOutput:
    """What one forward pass has shown of a layer.

    Attributes:
        name: Name of the layer.
        module: The module; None for the model's output.
        shape: Shape of the output for n images.
        device: Where the output is.
        linear: The layer, if it is a convolution or a linear layer.
        axis: Axis of the channels, if the user names it.
    """

    name: str
    module: nn.Module | None
    shape: tuple[int, ...]
    device: torch.device
    linear: LinearLayer | None = None
    axis: int | None = None

    @property
    def channel_axis(self) -> int:
        """Axis of the channels: the last one of linear layers, layer norms and tokens, otherwise axis 1."""
        n_axes = len(self.shape)
        if self.axis is not None:
            if self.axis not in range(-n_axes, n_axes) or self.axis % n_axes == 0:
                raise ValueError(
                    f"axis: found {self.axis!r}, the output of {self.name!r} has the axes 1 to {n_axes - 1} besides "
                    "that of the images."
                )
            return self.axis % n_axes
        if self.linear is not None:
            return self.linear.channel_axis % n_axes
        is_last = type(self.module) in (nn.LayerNorm, nn.MultiheadAttention)
        is_tokens = n_axes == 3 and not isinstance(self.module, nn.BatchNorm1d)
        return n_axes - 1 if is_last or is_tokens else 1

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.shape[self.channel_axis]

    def unit(self, index: int) -> Tensor:
        """The direction of one channel, shape (channels,)."""
        (channel,) = check_positions("index", [index], self.n_channels, f"channels of {self.name!r}")
        direction = torch.zeros(self.n_channels, device=self.device)
        direction[channel] = 1.0
        return direction

    def flat_position(self, position: tuple[int, ...] | None) -> int:
        """A position, counted over all axes of positions; the middle for None."""
        sizes = [size for axis, size in enumerate(self.shape) if axis not in (0, self.channel_axis)]
        at = [size // 2 for size in sizes] if position is None else position
        is_known = isinstance(at, Sequence) and len(at) == len(sizes)
        if not is_known or not all(index in range(size) for index, size in zip(at, sizes)):
            raise ValueError(
                f"position: found {position}, the positions of {self.name!r} have the shape {tuple(sizes)}; give one "
                "whole number for each axis."
            )
        flat = 0
        for index, size in zip(at, sizes):
            flat = flat * size + int(index)
        return flat

    @cached_property
    def vectors(self) -> SingularVectors:
        """The singular vectors of the layer's weight."""
        if self.linear is None:
            raise ValueError(
                f"layer: {self.name!r} has no singular vectors, because it is no convolution or linear layer with a "
                "weight of its own; see capture.linear_layers for those that have."
            )
        weight = self.linear.weight
        return singular_vectors(unfold_weight(weight.weight, groups=weight.groups, transposed=weight.transposed))

    def singular_vector(self, index: int) -> tuple[Tensor, float]:
        """The left singular vector in the layer's channels, shape (channels,), and its product with the bias."""
        vectors = self.vectors
        n_groups, n_rows, n_vectors = vectors.U.shape
        (number,) = check_positions("index", [index], n_groups * n_vectors, f"singular vectors of {self.name!r}")
        group, place = divmod(number, n_vectors)
        if place >= int(vectors.rank[group]):
            raise ValueError(
                f"index: the singular value {index} of {self.name!r} counts as zero or is not finite, so that its "
                f"vector has no signal; the rank is {vectors.rank.tolist()}."
            )
        direction = torch.zeros(n_groups, n_rows, device=self.device)
        direction[group] = vectors.U[group, :, place].float().to(self.device)
        flat = direction.flatten()
        assert self.linear is not None
        bias = self.linear.bias
        return flat, 0.0 if bias is None else float(flat @ bias.float().to(self.device))

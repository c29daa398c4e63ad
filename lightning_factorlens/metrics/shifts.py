"""Shifts of images and series as perturbations: the outputs are shifted back before they are compared."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int
from lightning_factorlens.metrics.consistency import alternating_shift, default_shift
from lightning_factorlens.metrics.perturbation import Perturbation


class _Shift(Perturbation):
    """Shifts the last axes: even samples forwards, odd ones backwards."""

    n_axes: int

    @abstractmethod
    def _size(self, inputs: Tensor) -> int:
        """Positions of the shift, before it is made a multiple of the output's strides."""

    def apply(self, inputs: Tensor, generator: torch.Generator, strides: tuple[float, ...] = ()) -> Tensor:
        """The shifted inputs; what leaves at one end comes in at the other."""
        size = self._steps(inputs, strides)
        if self.n_axes == 2:
            return alternating_shift(inputs, size)
        shifted = torch.roll(inputs, size, -1)
        shifted[1::2] = torch.roll(inputs[1::2], -size, -1)
        return shifted

    def align(self, outputs: Tensor, perturbed: Tensor, inputs: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Shifts the outputs back and leaves out the ends, whose counterparts are at the other end."""
        axes = axes[-self.n_axes :]
        if not axes:
            return outputs, perturbed
        strides = tuple(inputs.shape[k - len(axes)] / outputs.shape[axis] for k, axis in enumerate(axes))
        size = self._steps(inputs, strides)
        steps = [round(size / stride) for stride in strides]
        aligned = torch.roll(perturbed, [-step for step in steps], axes)
        aligned[1::2] = torch.roll(perturbed[1::2], steps, axes)
        for axis, step in zip(axes, steps):
            length = outputs.shape[axis] - 2 * step
            if length < 1:
                raise ValueError(f"the output of {tuple(outputs.shape)} is too small for a shift by {size} positions")
            outputs = outputs.narrow(axis, step, length)
            aligned = aligned.narrow(axis, step, length)
        return outputs, aligned

    def _steps(self, inputs: Tensor, strides: tuple[float, ...]) -> int:
        """The size of the shift as a multiple of every stride."""
        size = self._size(inputs)
        whole = [int(stride) for stride in strides if stride >= 1]
        if len(whole) < len(strides) or any(not float(stride).is_integer() for stride in strides):
            raise ValueError(
                f"the input of {tuple(inputs.shape[1:])} is no whole multiple of the output's size, so that no shift "
                "of the output corresponds to one of the input"
            )
        stride = math.lcm(1, *whole)
        return math.ceil(size / stride) * stride


@dataclass(frozen=True)
class ImageShift(_Shift):
    """Shifts images along the diagonal, even samples down and right, odd ones up and left.

    Example:
        >>> shifted = ImageShift(1).apply(torch.eye(4).expand(2, 1, 4, 4), torch.Generator())
        >>> torch.equal(shifted, torch.eye(4).expand(2, 1, 4, 4))
        True

    Attributes:
        pixels: Size of the shift; None for a sixteenth of the shorter side.
    """

    pixels: int | None = None
    n_axes = 2

    def __post_init__(self) -> None:
        check_int("pixels", self.pixels, 1, or_none="a sixteenth of the image")

    def _size(self, inputs: Tensor) -> int:
        if inputs.ndim < 4:
            raise ValueError(f"inputs of shape {tuple(inputs.shape)} are no images (N, C, H, W)")
        return self.pixels or default_shift(inputs.flatten(1, -3)) or 1


@dataclass(frozen=True)
class TimeShift(_Shift):
    """Shifts series (N, T) or (N, C, T) along their last axis, even samples later, odd ones earlier.

    Example:
        >>> TimeShift(1).apply(torch.arange(3.0).expand(2, 3), torch.Generator())
        tensor([[2., 0., 1.],
                [1., 2., 0.]])

    Attributes:
        steps: Size of the shift; None for a sixteenth of the series.
    """

    steps: int | None = None
    n_axes = 1

    def __post_init__(self) -> None:
        check_int("steps", self.steps, 1, or_none="a sixteenth of the series")

    def _size(self, inputs: Tensor) -> int:
        return self.steps or max(1, inputs.shape[-1] // 16)

"""Random transformations under which a picture must keep its effect; each picture of a batch has its own values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lightning_factorlens._validation import check_int, check_non_negative, check_positive


class Transform(ABC):
    """A random transformation of pictures, with random values from a generator of its own."""

    @abstractmethod
    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Transforms every picture by its own random values.

        Args:
            pictures: Shape (n, C, H, W).
            generator: Draws the random values, on the CPU.

        Returns:
            Shape (n, C, H', W').
        """


@dataclass(frozen=True)
class Jitter(Transform):
    """Shifts in a circle by up to some pixels along both axes.

    Attributes:
        pixels: Largest shift.
    """

    pixels: int

    def __post_init__(self) -> None:
        check_int("pixels", self.pixels, 0)

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """See `Transform.__call__`."""
        n, channels, height, width = pictures.shape
        shifts = torch.randint(-self.pixels, self.pixels + 1, (n, 2), generator=generator).to(pictures.device)
        rows = (torch.arange(height, device=pictures.device) - shifts[:, :1]) % height
        columns = (torch.arange(width, device=pictures.device) - shifts[:, 1:]) % width
        moved = pictures.gather(2, rows[:, None, :, None].expand(n, channels, height, width))
        return moved.gather(3, columns[:, None, None, :].expand(n, channels, height, width))


@dataclass(frozen=True)
class Scale(Transform):
    """Magnifies around the middle by a random factor; the size stays, what is outside is mirrored.

    Attributes:
        smallest: Smallest factor.
        largest: Largest factor.
    """

    smallest: float = 0.9
    largest: float = 1.1

    def __post_init__(self) -> None:
        check_positive("smallest", self.smallest)
        check_positive("largest", self.largest)
        if self.smallest > self.largest:
            raise ValueError(f"largest: must be at least smallest, {self.smallest}, found {self.largest}.")

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """See `Transform.__call__`."""
        shares = torch.rand(len(pictures), generator=generator)
        factors = self.smallest + (self.largest - self.smallest) * shares
        zeros = torch.zeros_like(factors)
        return _sample(pictures, torch.stack([1 / factors, zeros, zeros, 1 / factors], 1))


@dataclass(frozen=True)
class Rotate(Transform):
    """Rotates around the middle by a random angle; what is outside is mirrored.

    Attributes:
        degrees: Largest angle in both directions.
    """

    degrees: float = 10.0

    def __post_init__(self) -> None:
        check_non_negative("degrees", self.degrees)

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """See `Transform.__call__`."""
        shares = torch.rand(len(pictures), generator=generator) * 2 - 1
        angles = shares * self.degrees * torch.pi / 180
        ratio = pictures.shape[2] / pictures.shape[3]  # the axes of the sampling grid both run from −1 to 1
        sine, cosine = angles.sin(), angles.cos()
        return _sample(pictures, torch.stack([cosine, -sine * ratio, sine / ratio, cosine], 1))


@dataclass(frozen=True)
class Pad(Transform):
    """Adds a margin, so that later transformations move nothing out of the picture.

    Attributes:
        pixels: Width of the margin.
        value: Its value, from 0 to 1.
    """

    pixels: int
    value: float = 0.5

    def __post_init__(self) -> None:
        check_int("pixels", self.pixels, 0)
        check_non_negative("value", self.value)

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """See `Transform.__call__`."""
        return functional.pad(pictures, [self.pixels] * 4, value=self.value)


def transform(pictures: Tensor, transforms: Sequence[Transform], generator: torch.Generator) -> Tensor:
    """Applies transformations one after the other, and cuts the middle out where they have changed the size.

    Args:
        pictures: Shape (n, C, H, W).
        transforms: The transformations.
        generator: Draws the random values, on the CPU.

    Returns:
        The transformed pictures, in the shape of ``pictures``.

    Example:
        >>> pictures = torch.rand(3, 1, 8, 6)
        >>> moved = transform(pictures, [Pad(2), Jitter(2), Scale(), Rotate(5.0)], torch.Generator().manual_seed(0))
        >>> moved.shape == pictures.shape
        True
    """
    height, width = pictures.shape[2:]
    result = pictures
    for step in transforms:
        result = step(result, generator)
    top, left = (result.shape[2] - height) // 2, (result.shape[3] - width) // 2
    return result[:, :, top : top + height, left : left + width]


def _sample(pictures: Tensor, matrices: Tensor) -> Tensor:
    """The pictures at the positions that linear maps of the grid give; entries of a matrix by row, shape (n, 4)."""
    theta = torch.zeros(len(pictures), 2, 3)
    theta[:, :, :2] = matrices.view(-1, 2, 2)
    grid = functional.affine_grid(theta.to(pictures.device), list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)

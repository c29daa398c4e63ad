"""What the probe says about images: their shape, range, colours, frequencies and total variation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens._validation import is_number

#: A colour direction of less than this share of the largest variance is not divided by.
SMALLEST_SHARE = 1e-6


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """Statistics of N images, in pictures: images whose channels are scaled to the range from 0 to 1.

    Attributes:
        shape: (C, H, W).
        dtype: What the model receives.
        low: Input value of a picture's 0, shape (C,).
        high: Input value of a picture's 1, shape (C,).
        mean: Mean colour, shape (C,).
        colours: Symmetric square root of the covariance of the colours, shape (C, C).
        magnitude: Mean magnitude of the spectrum of decorrelated pictures without their mean colour, from ``rfft2``
            with ``norm="ortho"``, shape (C, H, W // 2 + 1).
        total_variation: Mean of the images' total variation, see `total_variation`.
    """

    shape: tuple[int, int, int]
    dtype: torch.dtype
    low: Tensor
    high: Tensor
    mean: Tensor
    colours: Tensor
    magnitude: Tensor
    total_variation: float

    @staticmethod
    def of(images: Tensor, value_range: tuple[float, float] | None = None) -> ImageStatistics:
        """The statistics of real images.

        Args:
            images: Shape (N, C, H, W), as the model receives them.
            value_range: Smallest and largest input value that a picture may have. None: from 0 to 1 where all images
                are, else from the smallest to the largest value of each channel.

        Raises:
            ValueError: Inputs that are no images with floating-point values, NaN or infinity, or a wrong range.

        Example:
            >>> statistics = ImageStatistics.of(torch.rand(8, 3, 6, 4) * 4 - 1)
            >>> statistics.shape, bool((statistics.low < 0).all()), tuple(statistics.magnitude.shape)
            ((3, 6, 4), True, (3, 6, 3))
        """
        _check_images(images)
        pixels = images.detach().float()
        low, high = _range(pixels, value_range)
        span = (high - low).where(high > low, 1.0)
        pictures = (pixels - low[:, None, None]) / span[:, None, None]
        mean = pictures.mean((0, 2, 3))
        centred = pictures - mean[:, None, None]
        flat = centred.movedim(1, 0).flatten(1).double()
        values, vectors = torch.linalg.eigh(flat @ flat.T / flat.shape[1])
        roots = values.clamp_min(0).sqrt()
        is_small = values <= values[-1] * SMALLEST_SHARE
        colours = (vectors * roots @ vectors.T).float()
        inverse = (vectors * (1 / roots).masked_fill(is_small, 0.0) @ vectors.T).float()
        decorrelated = torch.einsum("ij,njhw->nihw", inverse, centred)
        magnitude = torch.fft.rfft2(decorrelated, norm="ortho").abs().mean(0)
        variation = float(total_variation(pictures).mean())
        shape = (images.shape[1], images.shape[2], images.shape[3])
        return ImageStatistics(shape, images.dtype, low, high, mean, colours, magnitude, variation)

    def mean_pictures(self, n: int) -> Tensor:
        """Pictures of the mean colour, shape (n, C, H, W)."""
        return self.mean[:, None, None].expand(n, *self.shape)

    def pictures(self, images: Tensor) -> Tensor:
        """Images as the model receives them, shape (…, C, H, W), as pictures on the CPU."""
        low, span = self.low[:, None, None], (self.high - self.low)[:, None, None]
        return ((images.float() - low) / span.where(span > 0, 1.0)).cpu()

    def inputs(self, pictures: Tensor) -> Tensor:
        """Pictures as the model receives them, shape (n, C, H, W)."""
        span = (self.high - self.low)[:, None, None]
        return (self.low[:, None, None] + span * pictures).to(self.dtype)

    def coloured(self, values: Tensor) -> Tensor:
        """Pictures of decorrelated values of variance 1 around zero, not limited to the range from 0 to 1."""
        return self.mean[:, None, None] + torch.einsum("ij,njhw->nihw", self.colours, values)


def total_variation(pictures: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, vertical plus horizontal, over all channels.

    Args:
        pictures: Shape (n, C, H, W).

    Returns:
        Shape (n,).

    Example:
        >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])).tolist()
        [1.0]
    """
    total = pictures.new_zeros(len(pictures))
    for axis in (2, 3):
        if pictures.shape[axis] > 1:
            total = total + pictures.diff(dim=axis).abs().mean((1, 2, 3))
    return total


def _check_images(images: Tensor) -> None:
    if not isinstance(images, Tensor) or images.ndim != 4:
        found = f"shape {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            f"probe: pictures can be made of inputs of shape (N, C, H, W), found {found}; there is no visualisation of "
            "sequences, vectors or graphs."
        )
    if not images.is_floating_point():
        raise ValueError(f"probe: images must be floating-point numbers, found {images.dtype}; convert them.")
    if not images.numel() or not bool(torch.isfinite(images).all()):
        raise ValueError("probe: found no image, or images with NaN or infinity; remove those.")


def _range(images: Tensor, value_range: tuple[float, float] | None) -> tuple[Tensor, Tensor]:
    low, high = images.amin((0, 2, 3)), images.amax((0, 2, 3))
    if value_range is not None:
        is_pair = isinstance(value_range, Sequence) and len(value_range) == 2 and all(map(is_number, value_range))
        if not is_pair or not value_range[0] < value_range[1]:
            raise ValueError(f"value_range: must be two increasing numbers, found {value_range!r:.200}.")
        first, last = value_range
        return torch.full_like(low, first), torch.full_like(high, last)
    if bool((low >= 0).all()) and bool((high <= 1).all()):
        return torch.zeros_like(low), torch.ones_like(high)
    return low, high

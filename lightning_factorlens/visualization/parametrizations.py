"""Ways to describe a picture by numbers that are optimised; every picture lies in the box from 0 to 1."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens._validation import check_non_negative
from lightning_factorlens.visualization.image_statistics import ImageStatistics


class Parametrization(ABC):
    """Describes pictures by parameters."""

    @abstractmethod
    def start(self, n: int, statistics: ImageStatistics, generator: torch.Generator) -> Tensor:
        """Initial parameters of n pictures, shape (n, …), float32.

        Args:
            n: Number of pictures.
            statistics: Range, colours and spectrum of the probe's images.
            generator: Draws the random values, on the CPU.
        """

    @abstractmethod
    def pictures(self, parameters: Tensor, statistics: ImageStatistics) -> Tensor:
        """The pictures, shape (n, C, H, W), from 0 to 1.

        Args:
            parameters: Shape (n, …).
            statistics: Range, colours and spectrum of the probe's images.
        """

    def project(self, parameters: Tensor) -> Tensor:
        """The nearest parameters that are allowed, after a step."""
        return parameters

    def describe(self, pictures: Tensor) -> Tensor | None:
        """The parameters of given pictures; None where there are none."""
        return None


@dataclass(frozen=True)
class Pixels(Parametrization):
    """The pixels themselves, in the box from 0 to 1.

    A step may leave no pixel outside the box: the gradient passes where a step along it leads inward. A sigmoid
    reaches the edges of the box too slowly.

    Attributes:
        noise: Standard deviation of the initial values around the probe's mean colour. From a uniform picture, single
            vectors end in a poor maximum.
    """

    noise: float = 0.3

    def __post_init__(self) -> None:
        check_non_negative("noise", self.noise)

    def start(self, n: int, statistics: ImageStatistics, generator: torch.Generator) -> Tensor:
        """See `Parametrization.start`."""
        noise = torch.randn((n, *statistics.shape), generator=generator) * self.noise
        return self.project(noise.to(statistics.mean.device) + statistics.mean[:, None, None])

    def pictures(self, parameters: Tensor, statistics: ImageStatistics) -> Tensor:
        """See `Parametrization.pictures`."""
        return inward_clamp(parameters)

    def project(self, parameters: Tensor) -> Tensor:
        """See `Parametrization.project`."""
        return parameters.clamp(0, 1)

    def describe(self, pictures: Tensor) -> Tensor | None:
        """See `Parametrization.describe`."""
        return self.project(pictures)


@dataclass(frozen=True)
class Fourier(Parametrization):
    """The Fourier coefficients of decorrelated colours, see "Feature visualization" (Olah et al. 2017).

    The colours are decorrelated by the covariance of the probe's colours, and the frequencies weighted by 1/f, so that
    a step changes them as natural images differ.

    Attributes:
        noise: Standard deviation of the initial pictures, relative to that of the probe.
        decay: Exponent of the frequency by which coefficients are divided.
    """

    noise: float = 0.1
    decay: float = 1.0

    def __post_init__(self) -> None:
        check_non_negative("noise", self.noise)
        check_non_negative("decay", self.decay)

    def start(self, n: int, statistics: ImageStatistics, generator: torch.Generator) -> Tensor:
        """See `Parametrization.start`."""
        channels, height, width = statistics.shape
        values = torch.randn((n, channels, height, width // 2 + 1, 2), generator=generator) * self.noise
        return values.to(statistics.mean.device)

    def pictures(self, parameters: Tensor, statistics: ImageStatistics) -> Tensor:
        """See `Parametrization.pictures`."""
        size = statistics.shape[1:]
        spectrum = torch.view_as_complex(parameters) * self._weights(size, parameters.device)
        return inward_clamp(statistics.coloured(torch.fft.irfft2(spectrum, s=size, norm="ortho")))

    def _weights(self, size: tuple[int, ...], device: torch.device) -> Tensor:
        """Weight of every coefficient, shape (H, W // 2 + 1); coefficients of variance 1 give pixels of variance 1."""
        frequencies = _frequencies(size).clamp_min(1 / max(size))
        weights = frequencies**-self.decay
        weights = weights / (2 * weights.square().mean()).sqrt()
        weights[0, 0] = (size[0] * size[1]) ** 0.5  # a step changes the mean colour as much as it can change a pixel
        return weights.to(device)


@dataclass(frozen=True)
class MagnitudeConstrained(Parametrization):
    """The phases of the Fourier coefficients alone; their magnitudes are those of the probe.

    Fel et al. (2023), "Unlocking feature visualization for deeper networks with magnitude constrained optimization".
    """

    def start(self, n: int, statistics: ImageStatistics, generator: torch.Generator) -> Tensor:
        """See `Parametrization.start`."""
        phases = torch.rand((n, *statistics.magnitude.shape), generator=generator) * 2 * torch.pi - torch.pi
        return phases.to(statistics.mean.device)

    def pictures(self, parameters: Tensor, statistics: ImageStatistics) -> Tensor:
        """See `Parametrization.pictures`."""
        spectrum = torch.polar(statistics.magnitude.expand_as(parameters), parameters)
        values = torch.fft.irfft2(spectrum, s=statistics.shape[1:], norm="ortho")
        return inward_clamp(statistics.coloured(values))


def inward_clamp(values: Tensor) -> Tensor:
    """Values limited to the box from 0 to 1, with the gradient wherever it is larger there or leads back into it.

    Args:
        values: Any shape. A score that is maximised is computed from the result.

    Returns:
        The limited values, in the shape of ``values``.

    Example:
        >>> pixels = torch.tensor([1.5, 1.5, 0.5], requires_grad=True)
        >>> score = (inward_clamp(pixels) * torch.tensor([2.0, -2.0, 2.0])).sum()
        >>> torch.autograd.grad(score, pixels)[0].tolist()
        [0.0, -2.0, 2.0]
    """
    clamped: Tensor = _InwardClamp.apply(values)
    return clamped


class _InwardClamp(torch.autograd.Function):
    """See `inward_clamp`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return values.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        leads_out = ((values >= 1) & (gradient > 0)) | ((values <= 0) & (gradient < 0))
        return gradient.masked_fill(leads_out, 0.0)


def _frequencies(size: tuple[int, ...]) -> Tensor:
    """Magnitude of the frequency of every coefficient of ``rfft2``, shape (H, W // 2 + 1)."""
    height, width = size
    return torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None])

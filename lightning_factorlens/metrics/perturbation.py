"""Small changes of a model's input under which a good prediction stays as it is, one for each kind of input.

All are deterministic: random numbers come from a generator that is passed in. None of them has been tested as part of a
stop signal; only the shift of images with classes has (`lightning_factorlens.metrics.consistency`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int, is_number


class Perturbation(ABC):
    """Changes the inputs of some samples, and brings the outputs of both into the same place."""

    @abstractmethod
    def apply(self, inputs: Tensor, generator: torch.Generator, strides: tuple[float, ...] = ()) -> Tensor:
        """The perturbed inputs.

        Args:
            inputs: Shape (n, …).
            generator: Random numbers on the CPU; equal ones give equal results.
            strides: Input positions for each output position, by axis, where the output has positions.

        Returns:
            A tensor of the inputs' shape.

        Raises:
            ValueError: Inputs that cannot be perturbed in this way; the message says why.
        """

    def align(self, outputs: Tensor, perturbed: Tensor, inputs: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """The outputs of both where they belong to the same place of the input.

        Args:
            outputs: For the inputs, shape (n, …).
            perturbed: For the perturbed inputs.
            inputs: The inputs.
            axes: Axes of the outputs that are positions, in the order of the input's; none for one output a sample.

        Returns:
            Both, without the positions that have no counterpart.
        """
        return outputs, perturbed


@dataclass(frozen=True)
class TokenMask(Perturbation):
    """Replaces some tokens by a mask, or by tokens of other positions of the same samples.

    Masked language models are trained on this (Devlin et al. 2019, "BERT"), with the same fraction.

    Example:
        >>> tokens = torch.arange(1, 13).reshape(2, 6)
        >>> int((TokenMask(0.5, mask_id=0).apply(tokens, torch.Generator().manual_seed(0)) == 0).sum()) > 0
        True

    Attributes:
        fraction: Probability with which a token is replaced.
        mask_id: The id that replaces it; None for the id at a position drawn at random.
    """

    fraction: float = 0.15
    mask_id: int | None = None

    def __post_init__(self) -> None:
        _check_fraction(self.fraction)
        check_int("mask_id", self.mask_id, 0, or_none="tokens of other positions")

    def apply(self, inputs: Tensor, generator: torch.Generator, strides: tuple[float, ...] = ()) -> Tensor:
        """The ids with some replaced."""
        if inputs.is_floating_point():
            raise ValueError(f"inputs of {inputs.dtype} are no token ids")
        replaced = torch.rand(inputs.shape, generator=generator) < self.fraction
        if self.mask_id is None:
            positions = torch.rand(inputs.shape, generator=generator).argsort(-1).to(inputs.device)
            others = inputs.gather(-1, positions)
        else:
            others = torch.full_like(inputs, self.mask_id)
        return torch.where(replaced.to(inputs.device), others, inputs)


@dataclass(frozen=True)
class FeatureDropout(Perturbation):
    """Replaces some features of a table's rows by their means over the rows.

    Example:
        >>> table = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
        >>> FeatureDropout(1.0).apply(table, torch.Generator())
        tensor([[1., 2.],
                [1., 2.]])

    Attributes:
        fraction: Probability with which an entry is replaced.
    """

    fraction: float = 0.1

    def __post_init__(self) -> None:
        _check_fraction(self.fraction)

    def apply(self, inputs: Tensor, generator: torch.Generator, strides: tuple[float, ...] = ()) -> Tensor:
        """The table with some entries replaced."""
        replaced = torch.rand(inputs.shape, generator=generator) < self.fraction
        means = inputs.float().mean(0, keepdim=True).to(inputs.dtype)
        return torch.where(replaced.to(inputs.device), means, inputs)


@dataclass(frozen=True)
class InputNoise(Perturbation):
    """Adds Gaussian noise, in proportion to the standard deviation of the inputs: for sequences of embeddings.

    Example:
        >>> InputNoise().apply(torch.ones(2, 3), torch.Generator())  # no deviation, no noise
        tensor([[1., 1., 1.],
                [1., 1., 1.]])

    Attributes:
        scale: Standard deviation of the noise over that of the inputs.
    """

    scale: float = 0.1

    def __post_init__(self) -> None:
        if not is_number(self.scale) or not 0 < self.scale < math.inf:
            raise ValueError(f"scale: must be a number > 0, found {self.scale!r}.")

    def apply(self, inputs: Tensor, generator: torch.Generator, strides: tuple[float, ...] = ()) -> Tensor:
        """The inputs with noise."""
        if not inputs.is_floating_point():
            raise ValueError(f"noise cannot be added to inputs of {inputs.dtype}")
        noise = torch.randn(inputs.shape, generator=generator).to(inputs)
        return inputs + self.scale * inputs.float().std(correction=0).to(inputs.dtype) * noise


def _check_fraction(fraction: float) -> None:
    if not is_number(fraction) or not 0 < fraction <= 1:
        raise ValueError(f"fraction: must be a number above 0 and at most 1, found {fraction!r}.")

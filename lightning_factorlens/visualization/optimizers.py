"""Gradient ascent for many pictures at once, any of which may leave."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens._validation import check_positive, is_number

#: What an optimizer keeps from step to step; every tensor has one row for each picture.
State = tuple[Tensor, ...]


class Optimizer(ABC):
    """Raises a score by its gradient; it treats every picture as if it were alone."""

    @abstractmethod
    def start(self, parameters: Tensor) -> State:
        """What is kept, before the first step."""

    @abstractmethod
    def step(
        self, parameters: Tensor, gradient: Tensor, state: State, number: int, rate: float
    ) -> tuple[Tensor, State]:
        """One step.

        Args:
            parameters: Shape (n, …).
            gradient: Gradient of the score that is raised, shape (n, …).
            state: From the last step.
            number: Number of the step, from 1.
            rate: Factor of the learning rate, from 1 to 0 towards the end.

        Returns:
            The new parameters and what is kept.
        """


@dataclass(frozen=True)
class Adam(Optimizer):
    """Kingma and Ba (2015), "Adam: a method for stochastic optimization".

    Attributes:
        learning_rate: Size of a step, in the parameters' unit.
        beta1: Decay of the mean of the gradients.
        beta2: Decay of the mean of their squares.
        eps: Added to the root of that mean.
    """

    learning_rate: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-10

    def __post_init__(self) -> None:
        check_positive("learning_rate", self.learning_rate)
        check_positive("eps", self.eps)
        for name in ("beta1", "beta2"):
            beta = getattr(self, name)
            if not is_number(beta) or not 0 <= beta < 1:
                raise ValueError(f"{name}: must be a number from 0 to below 1, found {beta!r}.")

    def start(self, parameters: Tensor) -> State:
        """See `Optimizer.start`."""
        return torch.zeros_like(parameters), torch.zeros_like(parameters)

    def step(
        self, parameters: Tensor, gradient: Tensor, state: State, number: int, rate: float
    ) -> tuple[Tensor, State]:
        """See `Optimizer.step`."""
        first, second = state
        first = first.lerp(gradient, 1 - self.beta1)
        second = second.lerp(gradient.square(), 1 - self.beta2)
        size = rate * self.learning_rate / (1 - self.beta1**number)
        root = (second / (1 - self.beta2**number)).sqrt_().add_(self.eps)
        return torch.addcdiv(parameters, first, root, value=size), (first, second)


@dataclass(frozen=True)
class NormalizedAscent(Optimizer):
    """Steps of equal length along the gradient: its root mean square over each picture's parameters is 1.

    Attributes:
        learning_rate: Root mean square of a step, in the parameters' unit.
    """

    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        check_positive("learning_rate", self.learning_rate)

    def start(self, parameters: Tensor) -> State:
        """See `Optimizer.start`."""
        return ()

    def step(
        self, parameters: Tensor, gradient: Tensor, state: State, number: int, rate: float
    ) -> tuple[Tensor, State]:
        """See `Optimizer.step`."""
        sizes = gradient.flatten(1).square().mean(1).sqrt().clamp_min(torch.finfo(gradient.dtype).tiny)
        steps = gradient / sizes.view(-1, *[1] * (gradient.ndim - 1))
        return parameters + rate * self.learning_rate * steps, ()

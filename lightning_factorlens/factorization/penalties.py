"""Penalties on a factor, as objects: paper 001, eq. 3.1.

A smooth penalty joins the quadratic subproblem of a factor T, tr(Tᵀ G T) − 2⟨B, T⟩: it adds `curvature` to the
diagonal of G and takes `shift` from B. The published code adds an L1 term to its L2; here they are two objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Penalty(Protocol):
    """What a solver asks of a penalty on a non-negative factor."""

    @property
    def curvature(self) -> float:
        """Added to the diagonal of the Gram matrix."""

    @property
    def shift(self) -> float:
        """Taken from the linear term."""

    def value(self, T: Tensor) -> Tensor:
        """The penalty of each component (row) of T: shape (r,), float64."""


def _non_negative(weight: float) -> None:
    if not weight >= 0:
        raise ValueError(f"weight: a penalty's weight must be a number ≥ 0, found {weight!r}.")


@dataclass(frozen=True)
class L2:
    """λ ‖T‖² (paper 001, eq. 3.1 with p = 2)."""

    weight: float

    def __post_init__(self) -> None:
        _non_negative(self.weight)

    @property
    def curvature(self) -> float:
        """λ."""
        return self.weight

    @property
    def shift(self) -> float:
        """Nothing."""
        return 0.0

    def value(self, T: Tensor) -> Tensor:
        """λ Σ t², a component."""
        return self.weight * T.double().square().sum(1)


@dataclass(frozen=True)
class L1:
    """λ Σ |t|, for sparse non-negative factors."""

    weight: float

    def __post_init__(self) -> None:
        _non_negative(self.weight)

    @property
    def curvature(self) -> float:
        """Nothing."""
        return 0.0

    @property
    def shift(self) -> float:
        """λ/2: the derivative of λt beside that of t² g − 2bt."""
        return self.weight / 2

    def value(self, T: Tensor) -> Tensor:
        """λ Σ |t|, a component."""
        return self.weight * T.double().abs().sum(1)

"""Penalties on a factor, as objects: paper 001, eq. 3.1 and section 5.

A coordinate solver minimises v‖t‖² − 2⟨u, t⟩ + penalty(t) over a component t ≥ 0: without the penalty the answer is
max(u, 0)/v, and `prox_` turns it into the answer with it. Multiplicative updates add half the penalty's gradient to
their denominator. The published code adds an L1 term to its L2; here they are two objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor


class Penalty(Protocol):
    """What a solver asks of a penalty on a non-negative factor."""

    @property
    def weight(self) -> float:
        """λ."""

    def value(self, T: Tensor) -> Tensor:
        """The penalty of each component (row) of T: shape (r,), float64."""

    def prox_(self, t: Tensor, v: float) -> Tensor:
        """From argmin v‖t‖² − 2⟨u, t⟩ over t ≥ 0 to argmin of the same plus the penalty, in place."""

    def half_gradient(self, T: Tensor) -> Tensor:
        """Half the gradient at T > 0, of T's shape."""


def _check(weight: float) -> None:
    if not weight >= 0:
        raise ValueError(f"weight: a penalty's weight must be a number ≥ 0, found {weight!r}.")


@dataclass(frozen=True)
class L2:
    """λ ‖T‖² (paper 001, eq. 3.1 with p = 2)."""

    weight: float

    def __post_init__(self) -> None:
        _check(self.weight)

    def value(self, T: Tensor) -> Tensor:
        """λ Σ t², a component."""
        return self.weight * T.double().square().sum(1)

    def prox_(self, t: Tensor, v: float) -> Tensor:
        """T · v / (v + λ)."""
        return t.mul_(v / (v + self.weight) if v + self.weight > 0 else 0.0)

    def half_gradient(self, T: Tensor) -> Tensor:
        """λ T."""
        return self.weight * T


@dataclass(frozen=True)
class L1:
    """λ Σ |t|, for sparse factors."""

    weight: float

    def __post_init__(self) -> None:
        _check(self.weight)

    def value(self, T: Tensor) -> Tensor:
        """λ Σ |t|, a component."""
        return self.weight * T.double().abs().sum(1)

    def prox_(self, t: Tensor, v: float) -> Tensor:
        """max(t − λ/2v, 0)."""
        return t.sub_(self.weight / (2 * v)).clamp_(min=0)

    def half_gradient(self, T: Tensor) -> Tensor:
        """λ/2."""
        return torch.full_like(T, self.weight / 2)


@dataclass(frozen=True)
class GroupLasso:
    """λ Σ_g ‖t_g‖, which switches whole groups off (paper 001, section 5; Kim, Monteiro and Park 2012).

    Attributes:
        weight: λ.
        groups: A group's number for every sample; None makes each component one group, which needs no labels. (The
            published code takes the groups from columns sorted by class.)
    """

    weight: float
    groups: Sequence[int] | None = None

    def __post_init__(self) -> None:
        _check(self.weight)

    def _norms(self, T: Tensor) -> Tensor:
        """The norm of its group, for every entry of T."""
        if self.groups is None:
            return torch.linalg.vector_norm(T, dim=-1, keepdim=True).expand_as(T)
        if len(self.groups) != T.shape[-1]:
            raise ValueError(f"groups: found {len(self.groups)} numbers for {T.shape[-1]} samples.")
        index = _index(tuple(self.groups), T.device)
        squares = T.new_zeros(*T.shape[:-1], max(self.groups) + 1).index_add_(-1, index, T.square())
        return squares.sqrt().index_select(-1, index)

    def value(self, T: Tensor) -> Tensor:
        """λ Σ_g ‖t_g‖, a component: Σ t² / ‖t_g‖ counts every group's norm once."""
        T = T.double()
        norms = self._norms(T)
        return self.weight * torch.where(norms > 0, T.square() / norms.clamp_min(1e-300), 0.0).sum(1)

    def prox_(self, t: Tensor, v: float) -> Tensor:
        """t_g · max(1 − λ / (2v‖t_g‖), 0)."""
        norms = self._norms(t)
        shrink = 1 - self.weight / (2 * v * norms.clamp_min(torch.finfo(t.dtype).tiny))
        return t.mul_(shrink.clamp_min(0))

    def half_gradient(self, T: Tensor) -> Tensor:
        """λ T / (2‖t_g‖)."""
        return self.weight / 2 * T / self._norms(T).clamp_min(torch.finfo(T.dtype).tiny)


@lru_cache(maxsize=8)
def _index(groups: tuple[int, ...], device: torch.device) -> Tensor:
    """Sent to a device once, not with every component of every sweep."""
    return torch.tensor(groups, device=device)

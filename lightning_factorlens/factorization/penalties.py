"""Penalties on a factor, as objects.

Saini and Papalexakis (2021), "Analyzing representations inside convolutional neural networks", eq. 3.1 and section 5.
Their published code adds an L1 term to its L2 term; here these are two objects.

A coordinate solver minimises v‖t‖² − 2⟨u, t⟩ + penalty(t) over a component t ≥ 0. Without the penalty the minimum is
at max(u, 0)/v, and `Penalty.prox_` maps this point to the minimum with the penalty. Multiplicative updates add half the
penalty's gradient to their denominator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor

from lightning_factorlens._validation import is_number


class Penalty(Protocol):
    """The interface of a penalty on a non-negative factor, which is 0 where the factor is 0."""

    @property
    def weight(self) -> float:
        """λ."""

    def value(self, T: Tensor) -> Tensor:
        """Returns the penalty of each component (row) of T: shape (r,), float64."""

    def prox_(self, t: Tensor, v: float) -> Tensor:
        """Maps argmin v‖t‖² − 2⟨u, t⟩ over t ≥ 0 in place to the argmin of this function plus the penalty."""

    def half_gradient(self, T: Tensor) -> Tensor:
        """Returns half the gradient at T > 0, shape of T."""


def check_penalty(name: str, penalty: Any) -> None:
    """Checks that an argument is a penalty object or None.

    Args:
        name: Name of the argument, for the message.
        penalty: What was passed.

    Raises:
        TypeError: Anything else, such as a number or a class.

    Example:
        >>> check_penalty("penalty_F", 0.1)
        Traceback (most recent call last):
        TypeError: penalty_F: found 0.1; give a penalty object such as L1(0.1), or None for no penalty.
    """
    methods = ("value", "prox_", "half_gradient")
    is_object = not isinstance(penalty, type) and all(callable(getattr(penalty, method, None)) for method in methods)
    if penalty is not None and not is_object:
        raise TypeError(f"{name}: found {penalty!r}; give a penalty object such as L1(0.1), or None for no penalty.")


def _check_weight(weight: float) -> None:
    if not is_number(weight) or not weight >= 0:
        raise ValueError(f"weight: a penalty's weight must be a number ≥ 0, found {weight!r}; use None for no penalty.")


@dataclass(frozen=True)
class L2:
    """λ ‖T‖² (Saini and Papalexakis 2021, eq. 3.1 with p = 2).

    Example:
        >>> L2(0.5).value(torch.tensor([[1.0, 2.0]]))
        tensor([2.5000], dtype=torch.float64)

    Attributes:
        weight: λ.

    Raises:
        ValueError: A negative weight.
    """

    weight: float

    def __post_init__(self) -> None:
        _check_weight(self.weight)

    def value(self, T: Tensor) -> Tensor:
        """Returns λ Σ t² of each component."""
        return self.weight * T.double().square().sum(1)

    def prox_(self, t: Tensor, v: float) -> Tensor:
        """Computes t · v / (v + λ) in place."""
        return t.mul_(v / (v + self.weight) if v + self.weight > 0 else 0.0)

    def half_gradient(self, T: Tensor) -> Tensor:
        """Returns λ T."""
        return self.weight * T


@dataclass(frozen=True)
class L1:
    """λ Σ |t|, for sparse factors.

    Example:
        >>> L1(0.5).value(torch.tensor([[1.0, 2.0]]))
        tensor([1.5000], dtype=torch.float64)

    Attributes:
        weight: λ.

    Raises:
        ValueError: A negative weight.
    """

    weight: float

    def __post_init__(self) -> None:
        _check_weight(self.weight)

    def value(self, T: Tensor) -> Tensor:
        """Returns λ Σ |t| of each component."""
        return self.weight * T.double().abs().sum(1)

    def prox_(self, t: Tensor, v: float) -> Tensor:
        """Computes max(t − λ/2v, 0) in place."""
        return t.sub_(self.weight / (2 * v)).clamp_(min=0)

    def half_gradient(self, T: Tensor) -> Tensor:
        """Returns λ/2."""
        return torch.full_like(T, self.weight / 2)


@dataclass(frozen=True)
class GroupLasso:
    """λ Σ_g ‖t_g‖, which sets whole groups of entries to zero.

    Saini and Papalexakis (2021), section 5, after Kim, Monteiro and Park (2012), "Group sparsity in nonnegative matrix
    factorization". Their published code takes the groups from columns sorted by class.

    Example:
        >>> GroupLasso(1.0, groups=[0, 0, 1]).value(torch.tensor([[3.0, 4.0, 2.0]]))
        tensor([7.], dtype=torch.float64)

    Attributes:
        weight: λ.
        groups: The number of each sample's group, from 0; with None each component is one group, which needs no
            labels.

    Raises:
        ValueError: A negative weight; or, when it is used, another number of samples than ``groups`` has.
    """

    weight: float
    groups: Sequence[int] | None = None

    def __post_init__(self) -> None:
        _check_weight(self.weight)

    def _group_norms(self, T: Tensor) -> Tensor:
        """Returns for every entry of T the norm of its group."""
        if self.groups is None:
            return torch.linalg.vector_norm(T, dim=-1, keepdim=True).expand_as(T)
        if len(self.groups) != T.shape[-1]:
            raise ValueError(
                f"groups: found {len(self.groups)} numbers for {T.shape[-1]} samples; give one number per sample."
            )
        index = _group_index(tuple(self.groups), T.device)
        squares = T.new_zeros(*T.shape[:-1], max(self.groups) + 1).index_add_(-1, index, T.square())
        return squares.sqrt().index_select(-1, index)

    def value(self, T: Tensor) -> Tensor:
        """Returns λ Σ_g ‖t_g‖ of each component, computed as λ Σ t² / ‖t_g‖ over its entries."""
        T = T.double()
        norms = self._group_norms(T)
        return self.weight * torch.where(norms > 0, T.square() / norms.clamp_min(1e-300), 0.0).sum(1)

    def prox_(self, t: Tensor, v: float) -> Tensor:
        """Computes t_g · max(1 − λ / (2v‖t_g‖), 0) in place."""
        norms = self._group_norms(t)
        shrink = 1 - self.weight / (2 * v * norms.clamp_min(torch.finfo(t.dtype).tiny))
        return t.mul_(shrink.clamp_min(0))

    def half_gradient(self, T: Tensor) -> Tensor:
        """Returns λ T / (2‖t_g‖)."""
        return self.weight / 2 * T / self._group_norms(T).clamp_min(torch.finfo(T.dtype).tiny)


@lru_cache(maxsize=8)
def _group_index(groups: tuple[int, ...], device: torch.device) -> Tensor:
    """Returns the groups on a device; cached, because `GroupLasso.prox_` needs them for every component."""
    return torch.tensor(groups, device=device)

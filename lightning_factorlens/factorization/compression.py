"""Products through the leading right singular subspace: a quarter of the work where there are many samples.

Tepper and Sapiro, "Compressed nonnegative matrix factorization is fast and accurate" (2016): with an orthonormal basis
V of the subspace that carries the fit, F Xᵀ ≈ (F V)(X V)ᵀ and W X ≈ (W X V) Vᵀ. Signs are untouched, since F and W
themselves stay whole. What is lost lies in the tail of the spectrum; it is used for iterating, never for reporting.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.factorization.problem import CoupledProblem

#: Width of the basis for each component of the largest rank, and how much narrower than N it must be to pay.
WIDTH, MIN_RATIO = 3, 2.5


class CompressedProblem(CoupledProblem):
    """A problem whose products go through a basis.

    Args:
        problem: The problem.
        basis: Orthonormal columns, shape (N, k).
    """

    def __init__(self, problem: CoupledProblem, basis: Tensor) -> None:
        self.__dict__.update(problem.__dict__)
        self.basis = basis
        self.basis_rows = basis.T.contiguous()
        parts = [(b.samples.T @ basis).mul_(o) for b, o in zip(problem.blocks, problem.omega)]
        self.compressed = torch.cat(parts)

    def project(self, F: Tensor, out: Tensor | None = None) -> Tensor:
        """(F V)(X̃ V)ᵀ, shape (R, m)."""
        return torch.mm(F @ self.basis, self.compressed.T, out=out)

    def backproject(self, W: Tensor) -> Tensor:
        """(W̃ X̃ V) Vᵀ, summed over all features: shape (R, N)."""
        return self.partition.all_reduce_sum(W @ self.compressed) @ self.basis_rows


def basis_width(rank: int, N: int) -> int | None:
    """How wide a basis serves ranks up to ``rank``, or None where it would not pay."""
    width = WIDTH * rank
    return width if MIN_RATIO * width <= N else None

"""Products through the leading right singular subspace, at a quarter of the cost where there are many samples.

Tepper and Sapiro (2016), "Compressed nonnegative matrix factorization is fast and accurate": with an orthonormal basis
V of the subspace in which the data mainly lie, F Xᵀ ≈ (F V)(X V)ᵀ and W X ≈ (W X V) Vᵀ. F and W themselves are not
compressed, so their signs are unaffected. The approximation is used for iterating, never for reported numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.factorization.problem import CoupledProblem

#: Columns of the basis for each component of the largest rank.
COLUMNS_PER_COMPONENT = 3
#: Minimum ratio of the number of samples to the columns of the basis for which compression saves time.
MIN_RATIO = 2.5


class CompressedProblem(CoupledProblem):
    """A problem whose products are computed through a basis.

    Args:
        problem: The problem.
        basis: Orthonormal columns, shape (N, k).
    """

    def __init__(self, problem: CoupledProblem, basis: Tensor) -> None:
        self.__dict__.update(problem.__dict__)
        self.basis = basis
        self.basis_rows = basis.T.contiguous()
        compressed = []
        for block, omega in zip(problem.blocks, problem.omega):
            compressed.append((block.samples.T @ basis).mul_(omega))
        self.compressed = torch.cat(compressed)

    def project(self, F: Tensor, out: Tensor | None = None) -> Tensor:
        """Returns (F V)(X̃ V)ᵀ, shape (R, m)."""
        return torch.mm(F @ self.basis, self.compressed.T, out=out)

    def backproject(self, W: Tensor) -> Tensor:
        """Returns (W̃ X̃ V) Vᵀ, summed over the features of all processes: shape (R, N)."""
        return self.partition.all_reduce_sum(W @ self.compressed) @ self.basis_rows


def basis_width(rank: int, N: int) -> int | None:
    """Returns the number of columns of a basis for ranks up to ``rank``, or None if it would save no time.

    Args:
        rank: The largest rank.
        N: Number of samples.

    Example:
        >>> basis_width(rank=8, N=512), basis_width(rank=8, N=32)
        (24, None)
    """
    width = COLUMNS_PER_COMPONENT * rank
    return width if MIN_RATIO * width <= N else None

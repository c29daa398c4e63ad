"""The inner problem of alternating least squares, W ≥ 0 for fixed F or F ≥ 0 for fixed W, by what the device does best.

On the CPU sweeps over one component at a time, in cache; on CUDA the same in one fused kernel; elsewhere by products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor

from lightning_factorlens.linalg.nnls import hals_sweeps_, hals_sweeps_batched_, least_squares_
from lightning_factorlens.linalg.nnls_admm import ADMM
from lightning_factorlens.linalg.nnls_triton import TritonHALS, available
from lightning_factorlens.linalg.packing import Grams, diagonal_blocks

Prox = Callable[[Tensor, float], Tensor]


class NNLSSolver(Protocol):
    """min ½ tr(Tᵀ G T) − ⟨B, T⟩ in every group of a stacked factor T, for the Gram matrices it was made with."""

    def least_squares_(self, T: Tensor, B: Tensor, ridge: float = 1e-6) -> Tensor:
        """Writes the minimum without sign constraint into T.

        Args:
            T: Result, shape (R, m), the groups' components stacked.
            B: Linear term, shape (R, m).
            ridge: Relative to the mean diagonal of a group's Gram matrix.

        Returns:
            T itself.
        """

    def improve_(self, T: Tensor, B: Tensor, sweeps: int) -> Tensor:
        """Improves T ≥ 0 in place by as much as so many HALS sweeps; no group's objective rises.

        Args:
            T: Start and result, shape (R, m), non-negative.
            B: Linear term, shape (R, m).
            sweeps: How often every component is updated.

        Returns:
            T itself.
        """


def make_nnls_solver(sizes: Sequence[int], G: Grams, prox_: Prox | None = None) -> NNLSSolver:
    """The solver for where the Gram matrices are.

    Args:
        sizes: Components of each group.
        G: Gram matrix of each group, or one of all components, which on a GPU is a single product.
        prox_: See `hals_sweeps_`; with it components are updated one by one on every device.
    """
    like = G if isinstance(G, Tensor) else G[0]
    if like.device.type == "cpu" or prox_ is not None:
        return CoordinateDescent(sizes, G, prox_)
    return TritonHALS(sizes, G) if available(like.device, like.dtype, sizes) else ADMM(sizes, G)


class CoordinateDescent:
    """Component by component, neighbouring groups of one size together.

    Args:
        sizes: Components of each group.
        G: As in `inner_solver`.
        prox_: As in `inner_solver`.
    """

    def __init__(self, sizes: Sequence[int], G: Grams, prox_: Prox | None = None) -> None:
        self.sizes, self.prox_ = tuple(sizes), prox_
        self.G = diagonal_blocks(G, self.sizes) if isinstance(G, Tensor) else list(G)

    def least_squares_(self, T: Tensor, B: Tensor, ridge: float = 1e-6) -> Tensor:
        """See `InnerSolver.least_squares_`."""
        for t, b, g in zip(T.split(self.sizes), B.split(self.sizes), self.G):
            least_squares_(t, b, g, ridge)
        return T

    def improve_(self, T: Tensor, B: Tensor, sweeps: int) -> Tensor:
        """See `InnerSolver.sweep_`."""
        k = first = 0
        for size, run in groupby(self.sizes):
            count = len(list(run))
            rows, together = slice(first, first + count * size), torch.stack(self.G[k : k + count])
            alive = together.diagonal(dim1=1, dim2=2)
            if count > 1 and self.prox_ is None and bool((alive > 1e-12 * alive.amax(1, keepdim=True)).all()):
                shape = (count, size, -1)
                hals_sweeps_batched_(T[rows].view(shape), B[rows].view(shape), together, sweeps)
            else:
                for t, b, g in zip(T[rows].split(size), B[rows].split(size), together):
                    hals_sweeps_(t, b, g, sweeps, self.prox_)
            k, first = k + count, rows.stop
        return T

"""The non-negative least squares problem inside alternating least squares: W ≥ 0 for fixed F, or F ≥ 0 for fixed W.

The solver depends on the device: on the CPU coordinate descent over one component at a time, in cache; on CUDA the same
method in one fused Triton kernel; on other devices, or where Triton is not usable, ADMM.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor

from lightning_factorlens.linalg.nnls import INACTIVE_BELOW, hals_sweeps_, hals_sweeps_batched_, least_squares_
from lightning_factorlens.linalg.nnls_admm import ADMM
from lightning_factorlens.linalg.nnls_triton import TritonHALS, triton_hals_available
from lightning_factorlens.linalg.packing import Grams, diagonal_blocks, first_gram

#: A proximal operator, as `hals_sweeps_` takes it.
Prox = Callable[[Tensor, float], Tensor]


class NNLSSolver(Protocol):
    """Minimizes ½ tr(Tᵀ G T) − ⟨B, T⟩ in every group of a stacked factor T, for Gram matrices fixed at construction."""

    def least_squares_(self, T: Tensor, B: Tensor, ridge: float = 1e-6) -> Tensor:
        """Writes the minimum without a sign constraint into T.

        Args:
            T: Result, shape (R, m), the components of all groups stacked.
            B: Linear term, shape (R, m).
            ridge: Added to the diagonal of each group's Gram matrix, as a multiple of its mean.

        Returns:
            T itself.
        """

    def improve_(self, T: Tensor, B: Tensor, sweeps: int) -> Tensor:
        """Improves T ≥ 0 in place by about as much as ``sweeps`` HALS sweeps; no group's objective increases.

        Args:
            T: Initial value and result, shape (R, m), non-negative.
            B: Linear term, shape (R, m).
            sweeps: Number of times every component is updated.

        Returns:
            T itself.
        """


def make_nnls_solver(sizes: Sequence[int], G: Grams, prox_: Prox | None = None) -> NNLSSolver:
    """Returns the solver for the device and dtype of the Gram matrices.

    Args:
        sizes: Number of components of each group.
        G: Gram matrix of each group, or one Gram matrix of all components, which on a GPU is a single product.
        prox_: Proximal operator of a penalty, see `hals_sweeps_`. With one, components are updated one by one on
            every device.

    Returns:
        A solver for these Gram matrices.

    Example:
        >>> import torch
        >>> G = [torch.tensor([[2.0]]), torch.tensor([[2.0, 1.0], [1.0, 2.0]])]
        >>> solver = make_nnls_solver((1, 2), G)
        >>> type(solver).__name__
        'CoordinateDescent'
        >>> solver.improve_(torch.zeros(3, 1), torch.tensor([[4.0], [3.0], [-1.0]]), sweeps=5)
        tensor([[2.0000],
                [1.5000],
                [0.0000]])
    """
    prototype = first_gram(G)
    if prototype.device.type == "cpu" or prox_ is not None:
        return CoordinateDescent(sizes, G, prox_)
    if triton_hals_available(prototype.device, prototype.dtype, sizes):
        return TritonHALS(sizes, G)
    return ADMM(sizes, G)


class CoordinateDescent:
    """HALS sweeps, component by component; consecutive groups of one size are updated together.

    Args:
        sizes: Number of components of each group.
        G: Gram matrices, see `make_nnls_solver`.
        prox_: Proximal operator, see `make_nnls_solver`.
    """

    def __init__(self, sizes: Sequence[int], G: Grams, prox_: Prox | None = None) -> None:
        self.sizes = tuple(sizes)
        self.prox_ = prox_
        self.G = diagonal_blocks(G, self.sizes) if isinstance(G, Tensor) else list(G)

    def least_squares_(self, T: Tensor, B: Tensor, ridge: float = 1e-6) -> Tensor:
        """Writes the minimum without a sign constraint into T; see `NNLSSolver.least_squares_`."""
        for t, b, g in zip(T.split(self.sizes), B.split(self.sizes), self.G):
            least_squares_(t, b, g, ridge)
        return T

    def improve_(self, T: Tensor, B: Tensor, sweeps: int) -> Tensor:
        """Sweeps over all components; see `NNLSSolver.improve_`."""
        first_group = 0
        first_row = 0
        for size, run in groupby(self.sizes):
            count = len(list(run))
            rows = slice(first_row, first_row + count * size)
            G = torch.stack(self.G[first_group : first_group + count])
            self._improve_run(T[rows], B[rows], G, sweeps)
            first_group += count
            first_row = rows.stop
        return T

    def _improve_run(self, T: Tensor, B: Tensor, G: Tensor, sweeps: int) -> None:
        """Sweeps over consecutive groups of one size; T and B of shape (count·size, m), G (count, size, size)."""
        count = len(G)
        size = G.shape[1]
        diagonal = G.diagonal(dim1=1, dim2=2)
        all_active = diagonal > INACTIVE_BELOW * diagonal.amax(1, keepdim=True)
        if count > 1 and self.prox_ is None and bool(all_active.all()):
            shape = (count, size, -1)
            hals_sweeps_batched_(T.view(shape), B.view(shape), G, sweeps)
            return
        for t, b, g in zip(T.split(size), B.split(size), G):
            hals_sweeps_(t, b, g, sweeps, self.prox_)

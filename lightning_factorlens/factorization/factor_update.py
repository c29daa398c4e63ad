"""Updates of the stacked factor W̃ for a fixed sample factor F."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.objective import ridge_weight, scaled_prox
from lightning_factorlens.factorization.penalties import Penalty
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.linalg.nnls_dispatch import make_nnls_solver

#: Relative ridge of the least squares from which W starts.
INITIAL_RIDGE = 1e-5
#: Sweeps that follow the initial least squares.
INITIAL_SWEEPS = 4


def update_W_(
    groups: ComponentGroups,
    W: Tensor,
    B: Tensor,
    grams: list[Tensor],
    signed: Sequence[slice],
    sweeps: int,
    penalty: Penalty | None = None,
) -> None:
    """Improves W in place: by sweeps where it must be non-negative, by the exact solution where it may be signed.

    Args:
        groups: The groups of components.
        W: Start and result, shape (R, m).
        B: F X̃ᵀ, shape (R, m).
        grams: F Fᵀ of each group.
        signed: Columns of W that may be negative.
        sweeps: Number of HALS sweeps.
        penalty: Penalty on W.
    """
    ridge = ridge_weight(penalty)
    exact = []
    for columns in signed:
        with_ridge = []
        for gram in grams:
            with_ridge.append(gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))
        make_nnls_solver(groups.sizes, with_ridge).least_squares_(W[:, columns], B[:, columns])
        exact.append(W[:, columns].clone())
    # The sweeps run over all columns at once and overwrite the signed ones, which are put back afterwards.
    make_nnls_solver(groups.sizes, grams, scaled_prox(penalty)).improve_(W, B, sweeps)
    for columns, solution in zip(signed, exact):
        W[:, columns] = solution


def initialize_W_(
    groups: ComponentGroups,
    W: Tensor,
    B: Tensor,
    grams: list[Tensor],
    signed: Sequence[slice],
    penalty: Penalty | None = None,
) -> None:
    """Fits W from its clipped least squares; sweeps from zero would end with a 5 % larger error at rank 32.

    Args:
        groups: The groups of components.
        W: Result, shape (R, m); its values are not read.
        B: F X̃ᵀ, shape (R, m).
        grams: F Fᵀ of each group.
        signed: Columns of W that may be negative.
        penalty: Penalty on W.
    """
    make_nnls_solver(groups.sizes, grams).least_squares_(W, B, ridge=INITIAL_RIDGE).clamp_(min=0)
    update_W_(groups, W, B, grams, signed, INITIAL_SWEEPS, penalty)


def fit_W(problem: CoupledProblem, groups: ComponentGroups, F: Tensor, penalty: Penalty | None = None) -> Tensor:
    """Fits W to F over all feature rows, some thousand of them at a time.

    Args:
        problem: The problem.
        groups: The groups of components.
        F: Shape (R, N).
        penalty: Penalty on W.

    Returns:
        The stacked factor W̃, shape (R, m).
    """
    grams = groups.grams(F)
    W = problem.prototype.new_empty(F.shape[0], problem.m)
    for b, columns, samples in problem.chunks():
        B = torch.mm(F, samples).mul_(problem.omega[b])
        signed = problem.signed_columns_of_chunk(b)
        initialize_W_(groups, W[:, columns], B, grams, signed, penalty)
    return W

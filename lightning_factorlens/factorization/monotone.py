"""A larger rank never has a larger error: where a fit ended above a smaller rank's, it continues from its factors.

On data of nearly low rank, the larger ranks have many poor local minima. A curve of errors that rises with the rank
would then describe the solver and not the network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.factorization.evaluate import block_sse
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.linalg.nnls import hals_sweeps_

#: Sweeps over the replaced W, which can only lower its error.
SWEEPS = 4


def enforce_monotone_(problem: CoupledProblem, groups: ComponentGroups, F: Tensor, W: Tensor, sse: Tensor) -> Tensor:
    """Replaces F and W in place where the error rises with the rank.

    Args:
        problem: The problem. There must be no penalties, with which a larger rank may have a larger error.
        groups: One group for each rank, ascending.
        F: Shape (R, N).
        W: Shape (R, m).
        sse: From `block_sse`, shape (ranks, blocks); changed in place.

    Returns:
        The errors afterwards.
    """
    omega_sq = torch.tensor(problem.omega_given, dtype=torch.float64) ** 2
    is_signed = bool(problem.signed_columns())
    F_parts = groups.split(F)
    W_parts = groups.split(W)
    for k in range(1, len(groups)):
        total = (sse * omega_sq).sum(1)
        if total[k] <= total[k - 1]:
            continue
        _replace_first_components_(F_parts[k], F_parts[k - 1], W_parts[k], W_parts[k - 1])
        if not is_signed:
            hals_sweeps_(W_parts[k], problem.project(F_parts[k]), F_parts[k] @ F_parts[k].T, SWEEPS)
        rows = groups.slices[k]
        sse[k] = block_sse(problem, ComponentGroups((groups.sizes[k],)), F[rows], W[rows])[0]
    return sse


def _replace_first_components_(F: Tensor, F_smaller: Tensor, W: Tensor, W_smaller: Tensor) -> None:
    """Puts a smaller rank's components first; of its own components as many follow as there is space for."""
    r = len(F_smaller)
    F[r:] = F[: len(F) - r].clone()
    F[:r] = F_smaller
    W[r:] = 0
    W[:r] = W_smaller

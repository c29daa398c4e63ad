"""A larger rank is never worse: where a fit ended above a smaller rank's, it goes on from the smaller rank's factors.

On data of nearly low rank the larger ranks have many poor local minima, and a curve that rises with the rank would say
something of the solver, not of the network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.factorization.evaluate import block_sse
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.linalg.nnls import hals_sweeps_

#: Sweeps over the repaired W, from which its error can only fall.
SWEEPS = 4


def enforce_monotone_(problem: CoupledProblem, groups: ComponentGroups, F: Tensor, W: Tensor, sse: Tensor) -> Tensor:
    """Repairs F and W in place where the error rises with the rank.

    Args:
        problem: Without penalties, under which a larger rank may be worse.
        groups: One for each rank, ascending.
        F: Shape (R, N).
        W: Shape (R, m).
        sse: From `block_sse`, shape (ranks, blocks).

    Returns:
        The errors after the repair.
    """
    omega_sq = torch.tensor(problem.omega, dtype=torch.float64) ** 2
    signed = problem.signed_columns()
    factors, slices = list(zip(groups.split(F), groups.split(W))), groups.slices
    for k in range(1, len(groups)):
        total = (sse * omega_sq).sum(1)
        if total[k] <= total[k - 1]:
            continue
        (f_small, w_small), (f, w) = factors[k - 1], factors[k]
        r = len(f_small)
        f[r:], f[:r] = f[: len(f) - r].clone(), f_small  # its own components stay as far as there is room
        w[r:], w[:r] = 0, w_small
        if not signed:
            hals_sweeps_(w, problem.project(f), f @ f.T, SWEEPS)
        sse[k] = block_sse(problem, ComponentGroups((len(f),)), F[slices[k]], W[slices[k]])[0]
    return sse

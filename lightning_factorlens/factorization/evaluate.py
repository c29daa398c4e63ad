"""The squared error of every block at every rank, to full precision."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.factorization.groups import Groups
from lightning_factorlens.factorization.problem import CoupledProblem

#: Below this share of ‖X_b‖² the Gram formula loses its digits to cancellation, and residuals are formed.
CANCELS = 1e-3
#: Features whose residual is formed at once.
CHUNK = 4096


def block_sse(problem: CoupledProblem, groups: Groups, F: Tensor, W: Tensor) -> Tensor:
    """‖X_b − W_b F‖², unweighted, for every group and block.

    Args:
        problem: With blocks in their own units.
        groups: Of the components.
        F: Shape (R, N).
        W: W̃, scaled by ω, shape (R, m).

    Returns:
        Shape (groups, blocks), float64, on the CPU, summed over devices.
    """
    sse = torch.zeros(len(groups), len(problem.blocks), dtype=torch.float64)
    f_grams = [g.double() for g in groups.grams(F.double())]
    for b, (c, omega, energy) in enumerate(zip(problem.columns, problem.omega, problem.block_energy)):
        if omega == 0:
            continue
        C = groups.split(problem.collect_block(W, b))
        share = energy / problem.energy * problem.weights[b] ** 2
        for k, (f, w, f_gram) in enumerate(zip(groups.split(F), groups.split(W[:, c]), f_grams)):
            value = float(share - 2 * (C[k].double() * f.double()).sum() + ((w @ w.T).double() * f_gram).sum())
            if value < CANCELS * share:
                value = _residual(problem, b, f, w)
            sse[k, b] = value / omega**2
    return problem.reduce(sse)


def _residual(problem: CoupledProblem, b: int, f: Tensor, w: Tensor) -> float:
    """Σ (ω X_b − w f)², residuals in the blocks' dtype, the sum in float64."""
    samples, omega = problem.blocks[b].samples, problem.omega[b]
    total = 0.0
    for a in range(0, samples.shape[1], CHUNK):
        part = torch.addmm(samples[:, a : a + CHUNK], f.T, w[:, a : a + CHUNK], beta=omega, alpha=-1)
        total += float(torch.linalg.vector_norm(part, dtype=torch.float64)) ** 2
    return total

"""The squared error of every block at every rank, to full precision."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.problem import CoupledProblem

#: Below this share of ‖X_b‖² the Gram formula loses its digits to cancellation, and residuals are formed.
CANCELLATION_THRESHOLD = 1e-3
#: Features whose residual is formed at once.
CHUNK = 4096


@dataclass
class RowSums:
    """Sums over the feature rows of each block, all that errors and the sample factor need of W̃.

    Those of each chunk are added up in float64: in whatever order, and whoever holds which chunk, it is the same sum.

    Attributes:
        C: W̃_b X̃_b for each block, shape (R, N), float64.
        V: W̃_b W̃_bᵀ for each block and group, shape (r, r), float64.
    """

    C: list[Tensor]
    V: list[list[Tensor]]

    @classmethod
    def zeros(cls, problem: CoupledProblem, groups: ComponentGroups) -> RowSums:
        """Before the first row."""
        blocks, R = range(len(problem.blocks)), sum(groups.sizes)
        zeros = partial(problem.prototype.new_zeros, dtype=torch.float64)
        return cls([zeros(R, problem.N) for _ in blocks], [[zeros(r, r) for r in groups.sizes] for _ in blocks])

    def add_(self, groups: ComponentGroups, b: int, W: Tensor, samples: Tensor, omega: float) -> None:
        """Rows of block b: ``W`` (R, rows) scaled by ω, ``samples`` (N, rows) in the block's own units."""
        self.C[b].add_(torch.mm(W, samples.T), alpha=omega)
        for v, g in zip(self.V[b], groups.grams(W)):
            v += g

    def total(self, problem: CoupledProblem) -> tuple[Tensor, list[Tensor]]:
        """C and V over all blocks and devices."""
        here = [torch.stack(self.C).sum(0), *(torch.stack(v).sum(0) for v in zip(*self.V))]
        flat = problem.partition.all_reduce_sum(torch.cat([t.flatten() for t in here])).to(problem.prototype)
        C, *V = (part.view_as(t) for part, t in zip(flat.split([t.numel() for t in here]), here))
        return C, V


def row_sums(problem: CoupledProblem, groups: ComponentGroups, W: Tensor) -> RowSums:
    """The sums of a factor W̃, shape (R, m)."""
    sums = RowSums.zeros(problem, groups)
    for b, c, samples in problem.chunks():
        sums.add_(groups, b, W[:, c], samples, problem.omega[b])
    return sums


def block_sse(
    problem: CoupledProblem, groups: ComponentGroups, F: Tensor, W: Tensor, sums: RowSums | None = None
) -> Tensor:
    """‖X_b − W_b F‖², unweighted, for every group and block.

    Args:
        problem: With blocks in their own units.
        groups: Of the components.
        F: Shape (R, N).
        W: W̃, scaled by ω, shape (R, m).
        sums: Those of W, where they are known.

    Returns:
        Shape (groups, blocks), float64, on the CPU, summed over devices.
    """
    sums = sums or row_sums(problem, groups, W)
    sse = torch.zeros(len(groups), len(problem.blocks), dtype=torch.float64)
    F64 = F.double()
    f_grams = groups.grams(F64)
    for b, (c, omega, energy) in enumerate(zip(problem.columns, problem.omega, problem.local_energy)):
        if omega == 0:
            continue
        share = energy / problem.energy * problem.weights[b] ** 2
        crosses = groups.sums((sums.C[b] * F64).sum(1))
        squares = torch.stack([(v.double() * g).sum() for v, g in zip(sums.V[b], f_grams)])
        for k, value in enumerate((share - 2 * crosses + squares).tolist()):
            if value < CANCELLATION_THRESHOLD * share:
                rows = groups.slices[k]
                value = _residual(problem, b, F[rows], W[rows, c])
            sse[k, b] = value / omega**2
    return problem.partition.all_reduce_sum(sse)


def _residual(problem: CoupledProblem, b: int, f: Tensor, w: Tensor) -> float:
    """Σ (ω X_b − w f)², residuals in the blocks' dtype, the sum in float64."""
    samples, omega = problem.blocks[b].samples, problem.omega[b]
    total = 0.0
    for a in range(0, samples.shape[1], CHUNK):
        part = torch.addmm(samples[:, a : a + CHUNK].to(f.device), f.T, w[:, a : a + CHUNK], beta=omega, alpha=-1)
        total += float(torch.linalg.vector_norm(part, dtype=torch.float64)) ** 2
    return total

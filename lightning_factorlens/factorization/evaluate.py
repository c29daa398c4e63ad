"""The squared error of every block at every rank, with all digits of its dtype."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.problem import CoupledProblem

#: Below this fraction of its largest terms the formula with Gram matrices loses its digits, and residuals are computed
#: instead. The largest term is ‖X_b‖², or that of `_largest_terms` in a block with a signed factor.
CANCELLATION_THRESHOLD = 1e-3
#: Below this fraction of all energy, as unweighted blocks can have, the products of W and X leave the range of float32.
PRODUCTS_VANISH = 1e-24
#: Features whose residual is computed at once.
RESIDUAL_CHUNK = 4096


@dataclass
class RowSums:
    """Sums over the feature rows of each block, from which the errors and the update of F are computed.

    The terms of the chunks are added up in float64, so that the sum does not depend on their order, nor on how the
    chunks are distributed over processes.

    Attributes:
        C: W̃_b X̃_b for each block, shape (R, N), float64.
        V: W̃_b W̃_bᵀ for each block and group, shape (r, r), float64.
    """

    C: list[Tensor]
    V: list[list[Tensor]]

    @classmethod
    def zeros(cls, problem: CoupledProblem, groups: ComponentGroups) -> RowSums:
        """Returns the sums over no rows."""
        R = sum(groups.sizes)
        empty = cls([], [])
        for _ in problem.blocks:
            grams = []
            for r in groups.sizes:
                grams.append(problem.prototype.new_zeros(r, r, dtype=torch.float64))
            empty.C.append(problem.prototype.new_zeros(R, problem.N, dtype=torch.float64))
            empty.V.append(grams)
        return empty

    def add_(self, groups: ComponentGroups, b: int, W: Tensor, samples: Tensor, omega: float) -> None:
        """Adds the terms of some rows of block b.

        Args:
            groups: The groups of components.
            b: Index of the block.
            W: These rows' part of W̃, shape (R, rows).
            samples: The rows in the units of the block, shape (N, rows).
            omega: ω_b.
        """
        self.C[b].add_(torch.mm(W, samples.T), alpha=omega)
        for total, gram in zip(self.V[b], groups.grams(W)):
            total += gram

    def total(self, problem: CoupledProblem) -> tuple[Tensor, list[Tensor]]:
        """Returns C, shape (R, N), and V of each group, shape (r, r), over all blocks and processes."""
        terms = [torch.stack(self.C).sum(0)]
        for grams_of_group in zip(*self.V):
            terms.append(torch.stack(grams_of_group).sum(0))
        flat = torch.cat(list(map(torch.flatten, terms)))
        summed = problem.partition.all_reduce_sum(flat).to(problem.prototype)
        parts = summed.split(list(map(torch.numel, terms)))
        C, *V = map(torch.Tensor.view_as, parts, terms)
        return C, V


def row_sums(problem: CoupledProblem, groups: ComponentGroups, W: Tensor) -> RowSums:
    """Computes the sums of a factor W̃, shape (R, m), over this process's feature rows."""
    sums = RowSums.zeros(problem, groups)
    for b, columns, samples in problem.chunks():
        sums.add_(groups, b, W[:, columns], samples, problem.omega[b])
    return sums


def block_sse(
    problem: CoupledProblem, groups: ComponentGroups, F: Tensor, W: Tensor, sums: RowSums | None = None
) -> Tensor:
    """Computes ‖X_b − W_b F‖², unweighted, for every group and block.

    Args:
        problem: The problem.
        groups: The groups of components.
        F: Shape (R, N).
        W: W̃, scaled by ω, shape (R, m).
        sums: The sums of W, if they are known.

    Returns:
        Shape (groups, blocks), float64, on the CPU, summed over the processes.
    """
    sums = sums or row_sums(problem, groups, W)
    sse = torch.zeros(len(groups), len(problem.blocks), dtype=torch.float64)
    F64 = F.double()
    F_grams = groups.grams(F64)
    for b, (columns, omega_given) in enumerate(zip(problem.columns, problem.omega_given)):
        if omega_given == 0:
            continue
        scaled_energy = problem.local_energy[b] / problem.energy * problem.weights[b] ** 2
        crosses = groups.sums((sums.C[b] * F64).sum(1))
        squares = []
        for V, F_gram in zip(sums.V[b], F_grams):
            squares.append((V.double() * F_gram).sum())
        largest_terms = torch.full((len(groups),), scaled_energy, dtype=torch.float64)
        if problem.blocks[b].signed:
            largest_terms = _largest_terms(sums.V[b], F_grams).cpu().clamp_min(scaled_energy)
        values = scaled_energy - 2 * crosses + torch.stack(squares)
        for k, (value, largest) in enumerate(zip(values.tolist(), largest_terms.tolist())):
            vanishes = scaled_energy < PRODUCTS_VANISH
            if vanishes or value < CANCELLATION_THRESHOLD * largest:
                rows = groups.slices[k]
                dtype = torch.float64 if vanishes else F.dtype
                value = _squared_residual(problem, b, F[rows].to(dtype), W[rows, columns].to(dtype))
            sse[k, b] = value / omega_given**2
    return problem.partition.all_reduce_sum(sse)


def _largest_terms(V: list[Tensor], F_grams: list[Tensor]) -> Tensor:
    """Bounds the terms of ⟨V, F Fᵀ⟩ with V = W Wᵀ, whose rounding errors remain where terms of both signs cancel.

    Args:
        V: W̃_b W̃_bᵀ of each group, float64.
        F_grams: F Fᵀ of each group, float64.

    Returns:
        Σ_ij ‖W̃_i‖ ‖W̃_j‖ (F Fᵀ)_ij of each group, shape (groups,).
    """
    bounds = []
    for v, gram in zip(V, F_grams):
        norms = v.diagonal().sqrt()
        bounds.append((gram.abs() * norms * norms[:, None]).sum())
    return torch.stack(bounds)


def _squared_residual(problem: CoupledProblem, b: int, F: Tensor, W: Tensor) -> float:
    """Returns Σ (ω X_b − W F)²; residuals are in the dtype of F and W, the sum is float64."""
    samples = problem.blocks[b].samples
    total = 0.0
    for start in range(0, samples.shape[1], RESIDUAL_CHUNK):
        columns = slice(start, start + RESIDUAL_CHUNK)
        chunk = samples[:, columns].to(F)
        residual = torch.addmm(chunk, F.T, W[:, columns], beta=problem.omega[b], alpha=-1)
        total += float(torch.linalg.vector_norm(residual, dtype=torch.float64)) ** 2
    return total

"""Errors of the truncated SVD of parts of a problem with many samples, without their N × N Gram matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lightning_factorlens.factorization import CoupledProblem
from lightning_factorlens.linalg.krylov import SharedKrylov

#: Largest error of the relative errors, half of the documented one: rounding may take the other half.
TOLERANCE = 5e-8
#: Leading singular vectors whose products are computed in float64. They belong to the mean of non-negative data, and
#: products with them are sums of terms of one sign, whose rounding errors in float32 do not cancel.
_WIDE_VECTORS = 4
#: Features that are multiplied, and where necessary converted to float64, at once.
_CHUNK = 1024


class PartProducts:
    """Products of vectors with XᵀX of several parts, each of which is a weighted sum over blocks.

    Args:
        problem: The blocks.
        factors: What the squares of the problem's ω are multiplied with, shape (parts, blocks).
        dtype: Dtype of the products.
    """

    def __init__(self, problem: CoupledProblem, factors: Tensor, dtype: torch.dtype) -> None:
        self.problem = problem
        self.factors = factors
        self.dtype = dtype
        energies = []
        for omega, norms in zip(problem.omega_given, problem.row_norms):
            energies.append(float((omega * norms).square().sum()))
        #: The trace of XᵀX of every part.
        self.traces: list[float] = (factors @ torch.tensor(energies, dtype=torch.float64)).tolist()

    def apply(self, Q: Tensor) -> Tensor:
        """Returns XᵀX Q of every part, shape (parts, N, b), for Q of shape (N, b); float64, on the CPU."""
        n_parts = len(self.factors)
        q = Q.to(self.problem.prototype.device, self.dtype)
        products = q.new_zeros(n_parts, *q.shape)
        of_block = torch.zeros_like(q)
        for b, samples, is_last in self._pieces(self.dtype):
            of_block.addmm_(samples, samples.T @ q)
            if is_last:
                of_block *= self.problem.omega[b] ** 2
                for part in range(n_parts):
                    products[part].add_(of_block, alpha=float(self.factors[part, b]))
                of_block.zero_()
        return self.problem.partition.all_reduce_sum(products).cpu().double()

    def energies(self, bases: Sequence[Tensor]) -> list[Tensor]:
        """Returns ‖X v‖² of every column v of every part's basis, each of shape (k,)."""
        k = bases[0].shape[1]
        wide = torch.cat([basis[:, :_WIDE_VECTORS] for basis in bases], 1)
        narrow = torch.cat([basis[:, _WIDE_VECTORS:] for basis in bases], 1)
        of_blocks = []
        for columns, dtype in ((wide, torch.float64), (narrow, self.dtype)):
            by_block = self._column_energies(columns, dtype)
            of_blocks.append(by_block.view(len(self.problem.blocks), len(bases), -1))
        energies = torch.cat(of_blocks, 2)
        found = []
        for part, factors in enumerate(self.factors):
            found.append((factors[:, None] * energies[:, part]).sum(0)[:k])
        return found

    def _column_energies(self, columns: Tensor, dtype: torch.dtype) -> Tensor:
        """Returns ω_b² ‖X_b v‖² of every column v, shape (blocks, columns), float64."""
        v = columns.to(self.problem.prototype.device, dtype)
        energies = torch.zeros(len(self.problem.blocks), v.shape[1], dtype=torch.float64, device=v.device)
        for b, samples, _ in self._pieces(dtype):
            products = samples.T @ v
            energies[b] += (self.problem.omega[b] * products).square().sum(0, dtype=torch.float64)
        return self.problem.partition.all_reduce_sum(energies).cpu()

    def _pieces(self, dtype: torch.dtype) -> Iterator[tuple[int, Tensor, bool]]:
        """Yields the index of each block that counts, some of its features, and whether they are its last ones."""
        for b, block in enumerate(self.problem.blocks):
            if not bool(self.factors[:, b].any()):
                continue
            pieces = block.samples.split(_CHUNK, 1)
            for piece, samples in enumerate(pieces, start=1):
                yield b, samples.to(dtype), piece == len(pieces)


def svd_floors(problem: CoupledProblem, factors: Tensor, ranks: Sequence[int]) -> list[list[float] | None]:
    """Squared relative errors of the truncated SVD of several parts, by block Krylov iteration with a checked residual.

    Args:
        problem: The blocks.
        factors: Weight of the squares of every block in every part, shape (parts, blocks), relative to the problem's.
        ranks: The ranks.

    Returns:
        For each part one value per rank. The roots are within 1e-7 of those of a full SVD. None for a part in which
        this was not reached, neither in the problem's dtype nor in float64.

    Example:
        >>> from lightning_factorlens.results import Block
        >>> samples = torch.rand(400, 30, generator=torch.Generator().manual_seed(0))
        >>> problem = CoupledProblem([Block("a", "activation", samples, (30,))])
        >>> exact = 1 - torch.linalg.svdvals(samples.double()).square()[:2].sum() / samples.double().square().sum()
        >>> found = svd_floors(problem, torch.ones(1, 1, dtype=torch.float64), [2])
        >>> bool(abs(found[0][0] - exact) < 1e-7)
        True
    """
    found: list[list[float] | None] = [None] * len(factors)
    for dtype in (problem.prototype.dtype, torch.float64):
        missing = [part for part, errors in enumerate(found) if errors is None]
        if not missing:
            break
        products = PartProducts(problem, factors[missing], dtype)
        krylov = SharedKrylov(
            products.apply, products.traces, problem.N, max(ranks), TOLERANCE, problem.partition.broadcast
        )
        bases = krylov.run()
        solved = [i for i, basis in enumerate(bases) if basis is not None]
        if not solved:
            continue
        of_solved = PartProducts(problem, factors[[missing[i] for i in solved]], dtype)
        energies = of_solved.energies([basis for basis in bases if basis is not None])
        for i, values in zip(solved, energies):
            captured = values.cumsum(0).tolist()
            found[missing[i]] = [_left(captured, rank, products.traces[i]) for rank in ranks]
    return found


def _left(captured: Sequence[float], rank: int, total: float) -> float:
    """What the first components leave of the total; differences that are rounding count as 0."""
    if rank == 0:
        return 1.0
    left = 1 - captured[rank - 1] / total
    return left if left > 1e-14 else 0.0

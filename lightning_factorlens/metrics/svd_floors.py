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
#: Features that are multiplied, and where necessary converted to float64, at once: what two products read of them in
#: turn stays in the cache.
_CHUNK = 256
#: Values whose squares are added up at once, which stay in the cache.
_CONVERTED = 1 << 15


class PartProducts:
    """Products of vectors with XᵀX of several parts, each of which is a weighted sum over blocks.

    Args:
        problem: The blocks.
        factors: What the squares of the problem's ω are multiplied with, shape (parts, blocks).
        energies: ω_b² ‖X_b‖² of every block, see `block_energies`.
        dtype: Dtype of the products.
    """

    def __init__(self, problem: CoupledProblem, factors: Tensor, energies: Tensor, dtype: torch.dtype) -> None:
        self.problem = problem
        self.factors = factors
        self.dtype = dtype
        #: The trace of XᵀX of every part.
        self.traces: list[float] = (factors @ energies).tolist()

    def apply(self, Q: Tensor) -> Tensor:
        """Returns XᵀX Q of every part, shape (parts, N, b), for Q of shape (N, b); float64, on the CPU."""
        n_parts = len(self.factors)
        # With few vectors as rows, products take up to a tenth of the time that they take with them as columns.
        rows = Q.T.to(self.problem.prototype.device, self.dtype).contiguous()
        products = rows.new_zeros(n_parts, *rows.shape)
        of_block = torch.zeros_like(rows)
        for b, samples, is_last in _pieces(self.problem, self.factors, self.dtype):
            of_block.addmm_(rows @ samples, samples.T)
            if is_last:
                of_block *= self.problem.omega[b] ** 2
                for part in range(n_parts):
                    products[part].add_(of_block, alpha=float(self.factors[part, b]))
                of_block.zero_()
        return self.problem.partition.all_reduce_sum(products).mT.cpu().double()

    def energies(self, bases: Sequence[Tensor]) -> Tensor:
        """Returns ‖X v‖² of every column v of every part's basis, shape (parts, k), for bases of shape (N, k)."""
        wide = torch.stack([basis[:, :_WIDE_VECTORS].T for basis in bases])
        narrow = torch.stack([basis[:, _WIDE_VECTORS:].T for basis in bases])
        return torch.cat([self._energies_in(wide, torch.float64), self._energies_in(narrow, self.dtype)], 1)

    def _energies_in(self, vectors: Tensor, dtype: torch.dtype) -> Tensor:
        """Returns ‖X v‖² of every part for its vectors, shape (parts, k), given as (parts, k, N)."""
        rows = vectors.to(self.problem.prototype.device, dtype)
        energies = torch.zeros(rows.shape[:2], dtype=torch.float64, device=rows.device)
        for b, samples, _ in _pieces(self.problem, self.factors, dtype):
            parts = torch.nonzero(self.factors[:, b]).flatten().to(rows.device)
            products = (rows[parts].flatten(0, 1) @ samples).mul_(self.problem.omega[b])
            squares = products.square_().sum(1, dtype=torch.float64).view(len(parts), -1)
            energies[parts] += self.factors[:, b].to(rows.device)[parts, None] * squares
        return self.problem.partition.all_reduce_sum(energies).cpu()


def block_energies(problem: CoupledProblem) -> Tensor:
    """ω_b² ‖X_b‖² of every block, shape (blocks,), float64.

    The problem's norms are sums in float32, whose errors would be larger than what the components leave of a block of
    low rank.

    Args:
        problem: The blocks.

    Example:
        >>> from lightning_factorlens.results import Block
        >>> round(float(block_energies(CoupledProblem([Block("a", "activation", torch.ones(4, 3), (3,))]))), 9)
        1.0
    """
    prototype = problem.prototype
    memory = prototype.new_empty(_CONVERTED, dtype=torch.float64)
    energies = torch.zeros(len(problem.blocks), dtype=torch.float64)
    for b, block in enumerate(problem.blocks):
        for part in block.samples.reshape(-1).split(_CONVERTED):
            converted = memory[: len(part)].copy_(part)
            energies[b] += float(problem.omega[b] ** 2 * torch.dot(converted, converted))
    return problem.partition.all_reduce_sum(energies)


def _pieces(problem: CoupledProblem, factors: Tensor, dtype: torch.dtype) -> Iterator[tuple[int, Tensor, bool]]:
    """Yields the index of each block that counts, some of its features, and whether they are its last ones."""
    prototype = problem.prototype
    converted = prototype.new_empty(0, dtype=dtype)
    if dtype != prototype.dtype:
        converted = prototype.new_empty(problem.N * _CHUNK, dtype=dtype)
    for b, block in enumerate(problem.blocks):
        if not bool(factors[:, b].any()):
            continue
        pieces = block.samples.split(_CHUNK, 1)
        for position, piece in enumerate(pieces, start=1):
            samples = piece
            if dtype != piece.dtype:  # always into the same memory
                samples = converted[: piece.numel()].view(piece.shape).copy_(piece)
            yield b, samples, position == len(pieces)


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
    energies = block_energies(problem)
    for dtype in (problem.prototype.dtype, torch.float64):
        missing = [part for part, errors in enumerate(found) if errors is None]
        bases = _bases(problem, factors[missing], energies, max(ranks), dtype) if missing else {}
        if not bases:
            continue
        solved = [missing[i] for i in bases]
        products = PartProducts(problem, factors[solved], energies, dtype)
        captured = products.energies(list(bases.values())).cumsum(1).tolist()
        for part, values, trace in zip(solved, captured, products.traces):
            found[part] = [_left(values, rank, trace) for rank in ranks]
    return found


def _bases(problem: CoupledProblem, factors: Tensor, energies: Tensor, k: int, dtype: torch.dtype) -> dict[int, Tensor]:
    """Leading singular vectors of the parts in which they were found: of sums together, of single blocks one by one."""
    is_sum = (factors > 0).sum(1) > 1
    groups = [[part] for part in torch.nonzero(~is_sum).flatten().tolist()]
    if bool(is_sum.any()):
        groups.append(torch.nonzero(is_sum).flatten().tolist())
    bases = {}
    for parts in groups:
        products = PartProducts(problem, factors[parts], energies, dtype)
        krylov = SharedKrylov(products.apply, products.traces, problem.N, k, TOLERANCE, problem.partition.broadcast)
        for part, basis in zip(parts, krylov.run()):
            if basis is not None:
                bases[part] = basis
    return bases


def _left(captured: Sequence[float], rank: int, total: float) -> float:
    """What the first components leave of the total; differences that are rounding count as 0."""
    if rank == 0:
        return 1.0
    left = 1 - captured[rank - 1] / total
    return left if left > 1e-14 else 0.0

"""The coupled problem: blocks that share one sample factor, seen as one weighted least-squares problem.

Paper 000, eq. 1: Σ_i ‖D_i − P_i F‖² + Σ_j ‖A_j − O_j F‖². It equals the factorisation of the row-stacked matrix,
and it is a sum over feature rows, so the blocks stay where they were captured: a solver asks for W-sized products
(`project`) and for the small sums over rows (`collect`, `gram`), never for the stack.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from lightning_factorlens._validation import check_choice
from lightning_factorlens.linalg.svd import gram_eigvalsh
from lightning_factorlens.results import Block, Factorization

Weighting = Literal["unit", "raw"]
WEIGHTINGS: tuple[str, ...] = ("unit", "raw")
#: Features handled together in a pass over all rows: their products stay in the processor's cache.
CHUNK = 8192
#: So many times as many on an accelerator, where calls are what costs.
ACCELERATOR_CHUNK_FACTOR = 16


class CoupledProblem:
    """min Σ_b ω_b² ‖X_b − W_b F‖² over W_b, F, scaled so that the zero model's value is 1.

    The stacked factor is kept component-major and scaled by ω: W̃, shape (R, m), m the features of all blocks; R
    stacks the components of any number of groups (ranks, restarts), so one product serves them all.

    Args:
        blocks: At least one; all with the same number of samples, dtype and device.
        weighting: ``"unit"`` gives every block the same share of the objective, so that none drowns the others;
            ``"raw"`` is the papers': every entry counts the same.

    Raises:
        ValueError: No blocks, an unknown weighting, blocks of different N, or values that are not finite.
    """

    def __init__(self, blocks: Sequence[Block], weighting: Weighting = "unit") -> None:
        check_choice("weighting", weighting, WEIGHTINGS)
        _check(blocks)
        self.blocks = tuple(blocks)
        self.row_norms = self._norms()
        squares = [float(norms.square().sum()) for norms in self.row_norms]
        self.block_energy = tuple(block.sampling_factor * square for block, square in zip(blocks, squares))
        self.energy_here = self.block_energy
        self.energy = math.fsum(self.block_energy)
        self.weights = tuple(self._weight(e, weighting) for e in self.block_energy)
        # Overflow and underflow stay away because every product below is of order 1.
        scale = 1 / math.sqrt(self.energy) if self.energy > 0 else 0.0
        self.omega = tuple(w * math.sqrt(b.sampling_factor) * scale for w, b in zip(self.weights, blocks))
        ends = torch.tensor([b.samples.shape[1] for b in blocks]).cumsum(0).tolist()
        self.columns = tuple(slice(a, b) for a, b in zip([0, *ends], ends))

    def _norms(self) -> list[Tensor]:
        """Norm of every feature row of every block."""
        return [row_norms(block) for block in self.blocks]

    def _weight(self, block_energy: float, weighting: str) -> float:
        """Weights keep the total energy, so errors stay in the units of the activations."""
        if weighting == "raw":
            return 1.0
        filled = sum(e > 0 for e in self.block_energy)
        return math.sqrt(self.energy / filled / block_energy) if block_energy > 0 else 0.0

    @property
    def N(self) -> int:
        """Samples."""
        return self.blocks[0].samples.shape[0]

    @property
    def m(self) -> int:
        """Features of all blocks together, of those held here."""
        return self.columns[-1].stop

    @property
    def features(self) -> int:
        """Features of all blocks together, wherever they are."""
        return self.m

    @property
    def prototype(self) -> Tensor:
        """A tensor of the problem's dtype and device."""
        return self.blocks[0].samples

    def signed_columns(self) -> list[slice]:
        """Columns of W̃ that may be negative (semi-NMF)."""
        return [c for c, block in zip(self.columns, self.blocks) if block.signed]

    def project(self, F: Tensor, out: Tensor | None = None) -> Tensor:
        """F X̃ᵀ, shape (R, m), for F of shape (R, N)."""
        B = self.prototype.new_empty(F.shape[0], self.m) if out is None else out
        for b, c, samples in self.chunks(whole=True):
            torch.addmm(B[:, c], F, samples, beta=0, alpha=self.omega[b], out=B[:, c])
        return B

    def chunks(self, whole: bool = False) -> Iterator[tuple[int, slice, Tensor]]:
        """One pass over all rows, as (block, columns of W̃, samples (N, features)).

        Args:
            whole: Block by block rather than a few thousand features at a time.
        """
        chunk = CHUNK if self.prototype.device.type == "cpu" else ACCELERATOR_CHUNK_FACTOR * CHUNK
        for b, (block, c) in enumerate(zip(self.blocks, self.columns)):
            step = block.samples.shape[1] if whole else chunk
            for a, part in zip(range(c.start, c.stop, step or 1), block.samples.split(step or 1, 1)):
                yield b, slice(a, a + part.shape[1]), part

    def backproject(self, W: Tensor) -> Tensor:
        """W̃ X̃, summed over all features: shape (R, N)."""
        C = self.prototype.new_zeros(W.shape[0], self.N)
        for b, c, samples in self.chunks(whole=True):
            C.addmm_(W[:, c], samples.T, alpha=self.omega[b])
        return self.reduce(C)

    def gram_block(self, b: int) -> Tensor:
        """Block b's share of `gram`, before the reduction: float64, in which the order of the chunks does not show."""
        K = self.prototype.new_zeros(self.N, self.N, dtype=torch.float64)
        for part in self.blocks[b].samples.split(CHUNK, 1):
            scaled = part.to(K.device) * self.omega[b]
            K += scaled @ scaled.T
        return K

    def gram(self) -> Tensor:
        """X̃ᵀ X̃, shape (N, N)."""
        return self.reduce(torch.stack([self.gram_block(b) for b in range(len(self.blocks))]).sum(0)).to(self.prototype)

    def subspace(self, F: Tensor, k: int) -> Tensor:
        """About the k leading right singular vectors of X̃, shape (N, k), by one subspace iteration from rows like F's.

        Halko, Martinsson and Tropp, "Finding structure with randomness" (2011), algorithm 4.4 with the rows of F (the
        last k of them) in place of as many random vectors.
        """
        generator = torch.Generator().manual_seed(0)
        fill = torch.randn(max(0, k - len(F)), self.N, generator=generator).to(F)
        rows = torch.linalg.qr(torch.cat([F, fill])[-k:].T)[0].T
        return torch.linalg.qr(self.backproject(self.project(rows)).T)[0]

    def row_norms_sq(self) -> Tensor:
        """Squared norm of every feature row of X̃, shape (m,)."""
        return torch.cat([(o * norms).square() for o, norms in zip(self.omega, self.row_norms)])

    def rows(self, index: Tensor) -> Tensor:
        """Feature rows of X̃ by their index, shape (q,) → (q, N)."""
        rows = self.prototype.new_empty(len(index), self.N)
        for block, c, omega in zip(self.blocks, self.columns, self.omega):
            inside = (index >= c.start) & (index < c.stop)
            wanted = (index[inside] - c.start).to(block.samples.device)
            rows[inside] = block.samples.index_select(1, wanted).T.to(rows.device) * omega
        return rows

    # ---- what `ShardedProblem` does otherwise, since it holds a share of the features

    def reduce(self, sums: Tensor) -> Tensor:
        """Sums over the features held here, added up over all who hold some."""
        return sums

    def broadcast(self, tensor: Tensor) -> Tensor:
        """What everyone goes on with."""
        return tensor

    def gather_columns(self, indices: Sequence[Tensor]) -> list[Tensor]:
        """Columns of every block by their index in it, ascending."""
        found = zip((block.samples for block in self.blocks), indices)
        return [samples.index_select(1, i.to(samples.device)).to(self.prototype.device) for samples, i in found]

    def column_slices(self) -> Sequence[slice]:
        """Where each block's features stand among those of all."""
        return self.columns

    def numel(self, b: int) -> int:
        """Values in block b."""
        return self.blocks[b].samples.numel()

    def eigenvalues(self, grams: Tensor) -> Tensor:
        """Of every matrix of a batch, shape (k, n, n) → (k, n)."""
        return gram_eigvalsh(grams)

    def gather_factors(self, result: Factorization) -> Factorization:
        """A fit's result with every row of W."""
        return result


def row_norms(block: Block) -> Tensor:
    """Norm of every feature row, float64, shape (features,); one pass over the block, which also finds NaN."""
    norms = _column_norms(block.samples)
    total = float(norms.sum())
    if not 1e-12 < total < 1e15:  # squares may have left float32's range
        norms = torch.linalg.vector_norm(block.samples, dim=0, dtype=torch.float64)
        total = float(norms.sum())
    if not math.isfinite(total):
        bad = int((~torch.isfinite(block.samples)).sum())
        raise ValueError(
            f"block {block.name!r}: {bad} of {block.samples.numel()} values are NaN or infinite. "
            "Check the layer's outputs on the probe, or leave the layer out with `layers=`."
        )
    return norms


def _column_norms(samples: Tensor) -> Tensor:
    """‖column‖, float64. On the CPU a reduction over the first dimension reads against the grain, four times slower."""
    if samples.device.type != "cpu":
        return torch.linalg.vector_norm(samples, dim=0).double()
    total = samples.new_zeros(samples.shape[1], dtype=torch.float64)
    for some in samples.split(64):  # so few that float32 sums keep their digits
        squares = samples.new_zeros(samples.shape[1])
        for row in some.unbind(0):
            squares.addcmul_(row, row)
        total += squares
    return total.sqrt_()


def _check(blocks: Sequence[Block]) -> None:
    if not blocks:
        raise ValueError("blocks: found none; a coupled factorisation needs at least one input channel or layer.")
    for block in blocks:
        features = block.rank_ends[-1] if block.rank_ends else block.samples.shape[-1]
        if block.samples.ndim != 2 or not len(block.samples) or not features:
            raise ValueError(
                f"block {block.name!r}: samples must be (N, features), found {tuple(block.samples.shape)}."
            )
    sizes = {block.samples.shape[0] for block in blocks}
    if len(sizes) > 1:
        raise ValueError(f"blocks: all must hold the same samples, found N = {sorted(sizes)}.")

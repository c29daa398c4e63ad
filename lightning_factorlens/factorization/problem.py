"""The coupled problem: blocks that share one sample factor, seen as one weighted least-squares problem.

Paper 000, eq. 1: Σ_i ‖D_i − P_i F‖² + Σ_j ‖A_j − O_j F‖². It equals the factorisation of the row-stacked matrix,
and it is a sum over feature rows, so the blocks stay where they were captured: a solver asks for W-sized products
(`project`) and for the small sums over rows (`collect`, `gram`), never for the stack.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from lightning_factorlens.arguments import one_of
from lightning_factorlens.types import Block

Weighting = Literal["unit", "raw"]
WEIGHTINGS: tuple[str, ...] = ("unit", "raw")


def identity(sums: Tensor) -> Tensor:
    """The reduction on one device: the sums over these rows are all there is."""
    return sums


class CoupledProblem:
    """min Σ_b ω_b² ‖X_b − W_b F‖² over W_b, F, scaled so that the zero model's value is 1.

    The stacked factor is kept component-major and scaled by ω: W̃, shape (R, m), m the features of all blocks; R
    stacks the components of any number of groups (ranks, restarts), so one product serves them all.

    Args:
        blocks: At least one; all with the same number of samples, dtype and device.
        weighting: ``"unit"`` gives every block the same share of the objective, so that none drowns the others;
            ``"raw"`` is the papers': every entry counts the same.
        reduce: Sums a tensor over the devices that hold different feature rows.

    Raises:
        ValueError: No blocks, an unknown weighting, blocks of different N, or values that are not finite.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        weighting: Weighting = "unit",
        reduce: Callable[[Tensor], Tensor] = identity,
    ) -> None:
        one_of("weighting", weighting, WEIGHTINGS)
        _check(blocks)
        self.blocks = tuple(blocks)
        self.reduce = reduce
        self.row_norms = [_row_norms(block) for block in blocks]
        squares = [float(norms.square().sum()) for norms in self.row_norms]
        self.block_energy = tuple(block.expansion * square for block, square in zip(blocks, squares))
        self.energy = math.fsum(self.block_energy)
        self.weights = tuple(self._weight(e, weighting) for e in self.block_energy)
        # Overflow and underflow stay away because every product below is of order 1.
        scale = 1 / math.sqrt(self.energy) if self.energy > 0 else 0.0
        self.omega = tuple(w * math.sqrt(b.expansion) * scale for w, b in zip(self.weights, blocks))
        ends = torch.tensor([b.samples.shape[1] for b in blocks]).cumsum(0).tolist()
        self.columns = tuple(slice(a, b) for a, b in zip([0, *ends], ends))

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
        """Features of all blocks together."""
        return self.columns[-1].stop

    @property
    def like(self) -> Tensor:
        """A tensor of the problem's dtype and device."""
        return self.blocks[0].samples

    def signed_columns(self) -> list[slice]:
        """Columns of W̃ that may be negative (semi-NMF)."""
        return [c for c, block in zip(self.columns, self.blocks) if block.signed]

    def project(self, F: Tensor, out: Tensor | None = None) -> Tensor:
        """F X̃ᵀ, shape (R, m), for F of shape (R, N)."""
        B = self.like.new_empty(F.shape[0], self.m) if out is None else out
        for block, c, omega in zip(self.blocks, self.columns, self.omega):
            torch.addmm(B[:, c], F, block.samples, beta=0, alpha=omega, out=B[:, c])
        return B

    def collect_block(self, W: Tensor, b: int) -> Tensor:
        """Block b's share of `collect`, before the reduction."""
        C = self.like.new_zeros(W.shape[0], self.N)
        return C.addmm_(W[:, self.columns[b]], self.blocks[b].samples.T, alpha=self.omega[b])

    def collect(self, W: Tensor) -> Tensor:
        """W̃ X̃, summed over all features: shape (R, N)."""
        C = self.like.new_zeros(W.shape[0], self.N)
        for block, c, omega in zip(self.blocks, self.columns, self.omega):
            C.addmm_(W[:, c], block.samples.T, alpha=omega)
        return self.reduce(C)

    def gram_block(self, b: int) -> Tensor:
        """Block b's share of `gram`, before the reduction."""
        scaled = self.blocks[b].samples * self.omega[b]
        return scaled @ scaled.T

    def gram(self) -> Tensor:
        """X̃ᵀ X̃, shape (N, N)."""
        K = self.like.new_zeros(self.N, self.N)
        for b in range(len(self.blocks)):
            K += self.gram_block(b)
        return self.reduce(K)

    def row_norms_sq(self) -> Tensor:
        """Squared norm of every feature row of X̃, shape (m,)."""
        return torch.cat([(o * norms).square() for o, norms in zip(self.omega, self.row_norms)])

    def rows(self, index: Tensor) -> Tensor:
        """Feature rows of X̃ by their index, shape (q,) → (q, N)."""
        rows = self.like.new_empty(len(index), self.N)
        for block, c, omega in zip(self.blocks, self.columns, self.omega):
            inside = (index >= c.start) & (index < c.stop)
            rows[inside] = block.samples[:, index[inside] - c.start].T * omega
        return rows


def _row_norms(block: Block) -> Tensor:
    """Norm of every feature row, float64, shape (features,); one pass over the block, which also finds NaN."""
    norms = torch.linalg.vector_norm(block.samples, dim=0).double()
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


def _check(blocks: Sequence[Block]) -> None:
    if not blocks:
        raise ValueError("blocks: found none; a coupled factorisation needs at least one input channel or layer.")
    for block in blocks:
        if block.samples.ndim != 2 or 0 in block.samples.shape:
            raise ValueError(
                f"block {block.name!r}: samples must be (N, features), found {tuple(block.samples.shape)}."
            )
    sizes = {block.samples.shape[0] for block in blocks}
    if len(sizes) > 1:
        raise ValueError(f"blocks: all must hold the same samples, found N = {sorted(sizes)}.")

"""The coupled problem: blocks with one common sample factor, as one weighted least-squares problem.

Saini and Papalexakis (2018), "Characterizing & exploring deep CNN representations using factorization", eq. 1:
Σ_i ‖D_i − P_i F‖² + Σ_j ‖A_j − O_j F‖². This equals the factorization of the row-stacked matrix, and it is a sum over
feature rows. So the blocks are never stacked: a solver needs products of W's size (`CoupledProblem.project`) and small
sums over feature rows (`backproject`, `gram`), which the partition adds up over the processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from lightning_factorlens._validation import check_choice
from lightning_factorlens.distributed import Partition, ends_to_slices
from lightning_factorlens.factorization.block_weights import (
    WEIGHTINGS,
    Weighting,
    block_weights,
    check_blocks,
    squared_norms,
)
from lightning_factorlens.factorization.prepare import check_signs, prepare_blocks, safe_unit
from lightning_factorlens.factorization.row_norms import feature_row_norms
from lightning_factorlens.results import Block

#: On an accelerator, where a kernel launch costs more than a cache miss, so many chunks are processed together.
ACCELERATOR_CHUNK_FACTOR = 16


class CoupledProblem:
    """min Σ_b ω_b² ‖X_b − W_b F‖² over W_b and F, scaled such that W = 0 has the value 1.

    The stacked factor is stored component by component and scaled by ω: W̃, shape (R, m), where m is the number of
    features of all blocks in this process. R counts the components of all groups (ranks and restarts), so that one
    product serves all of them.

    Args:
        blocks: At least one; all with the same number of samples N and on one device. Their samples are converted to
            one dtype, see `prepare_blocks`.
        weighting: ``"unit"`` gives every block the same fraction of the objective; ``"raw"`` weights every entry
            equally, as Saini and Papalexakis do.
        partition: The features of every block that ``blocks`` hold; all of them unless given.

    Attributes:
        weights: w_b, so that Σ_b w_b² ‖X_b‖² is the total energy, shape (blocks,).
        samples: The samples of each of ``blocks``.
        blocks: The blocks, converted, and multiplied by ``units``.
        units: Powers of two; 1.0 for all blocks but those whose values leave the range in which products are exact.
        omega_given: ω_b, shape (blocks,): w_b, corrected for unsampled features, divided by the root of the energy.
        omega: ω_b divided by the unit, for the samples in ``blocks``.
        block_energy: ‖X_b‖², corrected for unsampled features, shape (blocks,).
        energy: Σ_b ‖X_b‖², corrected for unsampled features.
        row_norms: For each block the norms of all features in all processes, float64, shape (features,).
        columns: Columns of W̃ of each block.

    Raises:
        ValueError: No blocks, an unknown weighting, blocks of different N, values that are NaN or infinite, too large
            or too small for their squares, or negative in a block that is not ``signed``.

    Example:
        >>> block = Block("relu1", "activation", torch.ones(3, 8), (8,))
        >>> round(CoupledProblem([block]).energy, 6)
        24.0
    """

    def __init__(
        self, blocks: Sequence[Block], weighting: Weighting = "unit", partition: Partition | None = None
    ) -> None:
        check_choice("weighting", weighting, WEIGHTINGS)
        self.blocks = prepare_blocks(blocks)
        self.weighting: Weighting = weighting
        self.partition = partition or Partition()
        self.feature_counts = self.partition.feature_counts([block.samples for block in self.blocks])
        check_blocks(self.blocks, self.feature_counts)
        self.row_norms = self.partition.gather_features(self._local_row_norms())
        self.block_energy = squared_norms(self.blocks, self.row_norms)
        self.energy = math.fsum(self.block_energy)
        self.weights = block_weights(self.blocks, self.block_energy, weighting)
        self.units = self._rescale()
        self.samples = [block.samples for block in self.blocks]
        # With this scale every product below is of order 1, which avoids overflow and underflow.
        scale = 1 / math.sqrt(self.energy) if self.energy > 0 else 0.0
        omega = []
        for weight, block in zip(self.weights, self.blocks):
            omega.append(weight * math.sqrt(block.sampling_factor) * scale)
        self.omega_given = tuple(omega)
        self.omega = tuple(given / unit for given, unit in zip(omega, self.units))
        self.columns = _consecutive([samples.shape[1] for samples in self.samples])

    def _local_row_norms(self) -> list[Tensor]:
        """Returns the norm of every feature row of every block in this process."""
        norms = list(map(feature_row_norms, self.blocks))
        for block in self.blocks:
            check_signs(block)
        return norms

    def _rescale(self) -> tuple[float, ...]:
        """Multiplies the blocks whose values are extreme by powers of two, and returns these."""
        units = list(map(safe_unit, self.row_norms))
        blocks = []
        for block, unit in zip(self.blocks, units):
            blocks.append(block if unit == 1 else replace(block, samples=block.samples * unit))
        self.blocks = tuple(blocks)
        return tuple(units)

    @cached_property
    def local_energy(self) -> tuple[float, ...]:
        """Part of ``block_energy`` that this process's features have."""
        if not self.partition.is_sharded:
            return self.block_energy
        return squared_norms(
            self.blocks, list(map(self.partition.local_features, range(len(self.blocks)), self.row_norms))
        )

    @property
    def N(self) -> int:
        """Number of samples."""
        return self.blocks[0].samples.shape[0]

    @property
    def m(self) -> int:
        """Number of features of all blocks in this process."""
        return self.columns[-1].stop

    @property
    def features(self) -> int:
        """Number of features of all blocks in all processes."""
        return sum(self.feature_counts)

    @property
    def prototype(self) -> Tensor:
        """A tensor of the problem's dtype and device."""
        return self.blocks[0].samples

    @property
    def global_columns(self) -> tuple[slice, ...]:
        """Indices of each block's features among the features of all blocks in all processes."""
        return _consecutive(self.feature_counts)

    def signed_columns(self) -> list[slice]:
        """Returns the columns of W̃ that may be negative (semi-NMF)."""
        signed = []
        for columns, block in zip(self.columns, self.blocks):
            if block.signed:
                signed.append(columns)
        return signed

    def signed_columns_of_chunk(self, b: int) -> list[slice]:
        """Returns the columns that may be negative of a chunk of block b: all of them or none."""
        return [slice(None)] if self.blocks[b].signed else []

    def project(self, F: Tensor, out: Tensor | None = None) -> Tensor:
        """Returns F X̃ᵀ for this process's features, shape (R, m), for F of shape (R, N)."""
        B = self.prototype.new_empty(F.shape[0], self.m) if out is None else out
        for b, columns, samples in self.chunks(whole=True):
            torch.addmm(B[:, columns], F, samples, beta=0, alpha=self.omega[b], out=B[:, columns])
        return B

    def chunks(self, whole: bool = False) -> Iterator[tuple[int, slice, Tensor]]:
        """Iterates once over all feature rows of this process.

        Args:
            whole: Whether to return whole blocks instead of some thousand features at a time.

        Yields:
            Index of the block, columns of W̃, and samples of shape (N, columns).
        """
        chunk_size = self.partition.chunk_size
        if self.prototype.device.type != "cpu":
            chunk_size *= ACCELERATOR_CHUNK_FACTOR
        for b, (block, columns) in enumerate(zip(self.blocks, self.columns)):
            step = block.samples.shape[1] if whole else chunk_size
            start = columns.start
            for part in block.samples.split(step or 1, 1):
                stop = start + part.shape[1]
                if stop > start:
                    yield b, slice(start, stop), part
                start = stop

    def backproject(self, W: Tensor) -> Tensor:
        """Returns W̃ X̃, summed over the features of all processes: shape (R, N)."""
        C = self.prototype.new_zeros(W.shape[0], self.N)
        for b, columns, samples in self.chunks(whole=True):
            C.addmm_(W[:, columns], samples.T, alpha=self.omega[b])
        return self.partition.all_reduce_sum(C)

    def gram_block(self, b: int) -> Tensor:
        """Returns this process's part of block b's term of `gram`; float64 makes the order of the sum irrelevant."""
        K = self.prototype.new_zeros(self.N, self.N, dtype=torch.float64)
        for part in self.blocks[b].samples.split(self.partition.chunk_size, 1):
            scaled = part.to(K.device) * self.omega[b]
            K += scaled @ scaled.T
        return K

    def gram(self) -> Tensor:
        """Returns X̃ᵀ X̃, shape (N, N)."""
        terms = torch.stack(list(map(self.gram_block, range(len(self.blocks)))))
        return self.partition.all_reduce_sum(terms.sum(0)).to(self.prototype)

    def subspace(self, F: Tensor, k: int) -> Tensor:
        """Returns approximate k leading right singular vectors of X̃, shape (N, k), by one iteration from F's rows.

        Halko, Martinsson and Tropp (2011), "Finding structure with randomness", algorithm 4.4, with the last k rows of
        F in place of as many random vectors.
        """
        generator = torch.Generator().manual_seed(0)
        fill = torch.randn(max(0, k - len(F)), self.N, generator=generator).to(F)
        rows = torch.linalg.qr(torch.cat([F, fill])[-k:].T)[0].T
        return torch.linalg.qr(self.backproject(self.project(rows)).T)[0]

    def row_norms_sq(self) -> Tensor:
        """Returns the squared norm of every feature row of X̃ in all processes, shape (features,)."""
        squares = []
        for omega, norms in zip(self.omega_given, self.row_norms):
            squares.append((omega * norms).square())
        return torch.cat(squares)

    def rows(self, index: Tensor) -> Tensor:
        """Returns feature rows of X̃ in this process by their index, shape (q,) → (q, N)."""
        rows = self.prototype.new_empty(len(index), self.N)
        for block, columns, omega in zip(self.blocks, self.columns, self.omega):
            inside = (index >= columns.start) & (index < columns.stop)
            wanted = (index[inside] - columns.start).to(block.samples.device)
            rows[inside] = block.samples.index_select(1, wanted).T.to(rows.device) * omega
        return rows

    def unshard(self) -> CoupledProblem:
        """Returns the same problem with all features in every process; itself if it already holds all of them."""
        if not self.partition.is_sharded:
            return self
        blocks = []
        gathered = self.partition.gather_blocks(range(len(self.blocks)), [block.samples for block in self.blocks])
        for block, unit, samples in zip(self.blocks, self.units, gathered):
            blocks.append(replace(block, samples=samples if unit == 1 else samples / unit))
        return CoupledProblem(blocks, self.weighting, Partition(self.partition.chunk_size))


def _consecutive(lengths: Sequence[int]) -> tuple[slice, ...]:
    ends = torch.tensor(lengths).cumsum(0).tolist()
    return tuple(ends_to_slices(ends))

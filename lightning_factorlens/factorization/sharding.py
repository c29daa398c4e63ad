"""The coupled problem over several processes: each holds some features of every block, for all samples.

The pass over all features is shared: each process projects, sweeps and evaluates its own rows of W̃, and the small sums
meet in `reduce`. The sampled rows, on which a fit iterates, go to everyone, who then do the same with them. All of it
is bit for bit what one process does: a last digit that differs at the start is a third digit that differs at the end.
So blocks are cut where a pass over them is cut anyway (`CHUNK`), and the chunks' sums are added up in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

import torch
from torch import Tensor

from lightning_factorlens.distributed import SingleProcess, ends_to_slices, split_evenly
from lightning_factorlens.factorization.hals import HALS
from lightning_factorlens.factorization.problem import CoupledProblem, Weighting
from lightning_factorlens.factorization.solver import Solver
from lightning_factorlens.linalg.svd import gram_eigvalsh
from lightning_factorlens.results import Block, Factorization


def make_problem(
    blocks: Sequence[Block], weighting: Weighting, team: SingleProcess, solver: Solver | None, warm: bool
) -> CoupledProblem:
    """The problem of a look, shared where that pays.

    Args:
        blocks: One process's share of every block (see `Block.ends`); whole where it is alone.
        weighting: See `CoupledProblem`.
        team: Who holds the rest.
        solver: Where it iterates over all features, not over a sample, everyone is given all of them and works alone.
        warm: Whether there are factors to start from.

    Raises:
        ValueError: As `CoupledProblem`.
    """
    if team.world_size == 1:
        return CoupledProblem(blocks, weighting)
    problem = ShardedProblem(blocks, weighting, team)
    sampled = all(stage.sample for stage in (solver or HALS()).schedule(problem, warm))
    return problem if sampled and problem.energy > 0 else problem.unshard()


class ShardedProblem(CoupledProblem):
    """`CoupledProblem` on this process's features; its energies and weights are those of all, to the last bit.

    Args:
        blocks: This process's columns of every block, perhaps none; `Block.ends` says whose the others are.
        weighting: See `CoupledProblem`.
        team: The processes, of which each holds its share of the same blocks.

    Raises:
        ValueError: As `CoupledProblem`; in the process that holds the values that are not finite.
    """

    def __init__(self, blocks: Sequence[Block], weighting: Weighting, team: SingleProcess) -> None:
        self.team, self.weighting = team, weighting
        self.dealt = [ends_to_slices(block.rank_ends or ()) for block in blocks]
        self.totals = [dealt[-1].stop for dealt in self.dealt]
        self.widths = [[s.stop - s.start for s in dealt] for dealt in self.dealt]
        super().__init__(blocks, weighting)
        own = [norms[dealt[team.rank]] for norms, dealt in zip(self.row_norms, self.dealt)]
        self.energy_here = tuple(b.sampling_factor * float(norms.square().sum()) for b, norms in zip(blocks, own))

    def _norms(self) -> list[Tensor]:
        """Those of all features: the energies and the sample are then everyone's, to the last bit."""
        return [torch.cat(parts) for parts in self._from_all(super()._norms(), self.widths)]

    @property
    def features(self) -> int:
        """Features of all blocks in all processes."""
        return sum(self.totals)

    def column_slices(self) -> Sequence[slice]:
        """Where each whole block's features stand among those of all."""
        return ends_to_slices(list(accumulate(self.totals)))

    def reduce(self, sums: Tensor) -> Tensor:
        """Sums a tensor over the processes."""
        return self.team.all_reduce_sum(sums)

    def broadcast(self, tensor: Tensor) -> Tensor:
        """The first process's: on unlike processors the same work may end in other last digits."""
        return self.team.broadcast(tensor)

    def numel(self, b: int) -> int:
        """Values in the whole of block b."""
        return self.N * self.totals[b]

    def gather_columns(self, indices: Sequence[Tensor]) -> list[Tensor]:
        """Columns of every block, by their ascending index in the whole block, from whoever holds them."""
        held = [[i[(i >= s.start) & (i < s.stop)] for s in dealt] for i, dealt in zip(indices, self.dealt)]
        me, N = self.team.rank, self.N
        own = [block.samples.index_select(1, h[me] - d[me].start) for block, h, d in zip(self.blocks, held, self.dealt)]
        found = self._from_all(own, [[N * len(i) for i in h] for h in held])
        return [torch.cat([part.view(N, len(part) // N) for part in parts], 1) for parts in found]

    def eigenvalues(self, grams: Tensor) -> Tensor:
        """Of every matrix of a batch, shape (k, n, n) → (k, n); everyone takes some."""
        n, dealt = grams.shape[1], split_evenly(len(grams), self.team.world_size)
        own = gram_eigvalsh(grams[dealt[self.team.rank]])
        return torch.cat(self.team.all_gather(own.flatten(), [n * (d.stop - d.start) for d in dealt])).view(-1, n)

    def unshard(self) -> CoupledProblem:
        """The same problem with all features in every process."""
        blocks, N = [], self.N
        for block, widths in zip(self.blocks, self.widths):  # one at a time: there is never more than one twice
            (parts,) = self._from_all([block.samples], [[N * width for width in widths]])
            samples = torch.cat([part.view(N, len(part) // N) for part in parts], 1)
            blocks.append(replace(block, samples=samples, rank_ends=None))
        return CoupledProblem(blocks, self.weighting)

    def gather_factors(self, result: Factorization) -> Factorization:
        """The factorisation with the W of all features in every process."""
        factors = []
        for r, own in zip(result.ranks, result.W):
            found = self._from_all(own, [[r * width for width in widths] for widths in self.widths])
            factors.append(tuple(torch.cat(parts).view(-1, r) for parts in found))
        return replace(result, W=tuple(factors))

    def _from_all(self, own: Sequence[Tensor], lengths: Sequence[Sequence[int]]) -> Iterator[list[Tensor]]:
        """Everyone's tensors.

        Args:
            own: One tensor a block.
            lengths: How many values there are of each block in each process.

        Returns:
            For each block the flat tensors of all processes.
        """
        by_process = list(zip(*lengths))
        flat = self.team.all_gather(torch.cat([t.flatten() for t in own]), [sum(n) for n in by_process])
        return map(list, zip(*(f.split(n) for f, n in zip(flat, by_process))))

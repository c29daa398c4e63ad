"""Error of the factorisation against its rank, and the error of the truncated SVD beside it.

Saini and Papalexakis (2018), "Characterizing & exploring deep CNN representations using factorization", figure 2, plot
an "RMSE" that they do not define; their published code computes a relative squared error. Here three quantities have
three names, see `RankCurve`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from lightning_factorlens.factorization import CoupledProblem
from lightning_factorlens.linalg.svd import effective_rank, gram_eigvalsh, truncation_errors
from lightning_factorlens.results import Factorization, RankCurve

#: Names of the parts that are not blocks; a block of such a name gets a suffix.
RESERVED = ("total", "inputs", "activations")
#: Squared relative errors below this are within the rounding of a float32 Gram matrix.
ROUNDING = 1e-5


def rank_curve(ranks: Sequence[int], rel_sq_error: Sequence[float], mean_sq_error: Sequence[float]) -> RankCurve:
    """The three errors from the squared relative error and the mean squared error.

    Args:
        ranks: Ranks, ascending.
        rel_sq_error: ‖X − X̂‖² / ‖X‖² at every rank; rounding below 0 is cut off.
        mean_sq_error: ‖X − X̂‖² / entries at every rank.

    Example:
        >>> rank_curve((1, 2), (0.25, 0.04), (1.0, 0.16))
        RankCurve(ranks=(1, 2), rmse=(1.0, 0.4), rel_error=(0.5, 0.2), rel_sq_error=(0.25, 0.04))
    """
    squared = tuple(max(float(error), 0.0) for error in rel_sq_error)
    relative = tuple(map(math.sqrt, squared))
    rmse = tuple(math.sqrt(max(float(error), 0.0)) for error in mean_sq_error)
    return RankCurve(tuple(ranks), rmse, relative, squared)


class BlockGroups:
    """The parts of a problem that have a curve of their own: all blocks, inputs, activations, and every block.

    The relative error of several blocks is weighted as the problem is: it is that of the matrix which is factorised.
    Their rmse is that of the entries as captured, unweighted.

    Args:
        problem: The blocks and their weights.

    Attributes:
        problem: The same.
        members: Positions of the blocks by part; a part without blocks has no entry.
    """

    def __init__(self, problem: CoupledProblem) -> None:
        self.problem = problem
        inputs: list[int] = []
        activations: list[int] = []
        single: dict[str, list[int]] = {}
        for position, block in enumerate(problem.blocks):
            (inputs if block.kind == "input" else activations).append(position)
            name = f"{block.name}-block" if block.name in RESERVED else block.name
            single[name] = [position]
        members = {"total": [*range(len(problem.blocks))], "inputs": inputs, "activations": activations, **single}
        self.members = {part: positions for part, positions in members.items() if positions}

    def rms(self) -> dict[str, float]:
        """Root mean square of the entries of every part."""
        found = {}
        for part in self.members:
            energy = self._sum(part, self.problem.block_energy, weighted=False)
            found[part] = math.sqrt(energy / self._n_entries(part))
        return found

    def curves(self, factorization: Factorization) -> dict[str, RankCurve]:
        """Errors of a coupled factorisation of the problem's blocks, by part."""
        problem = self.problem
        factors = torch.tensor([block.sampling_factor for block in problem.blocks], dtype=torch.float64)
        sse_by_rank = (factorization.sse * factors).tolist()
        curves = {}
        for part in self.members:
            energy = self._sum(part, problem.block_energy, weighted=True) or 1.0
            n_entries = self._n_entries(part)
            relative = [self._sum(part, sse, weighted=True) / energy for sse in sse_by_rank]
            mean = [self._sum(part, sse, weighted=False) / n_entries for sse in sse_by_rank]
            curves[part] = rank_curve(factorization.ranks, relative, mean)
        return curves

    def svd_curves(self, curves: Mapping[str, RankCurve]) -> dict[str, RankCurve]:
        """Errors of the truncated SVD at the same ranks, below which no factorisation of the part can get.

        Where blocks are weighted, the two errors of a part belong to two matrices and have two lower bounds.

        Args:
            curves: Errors of the factorisation, see `curves`.
        """
        rms = self.rms()
        svd_curves = {}
        for part, curve in curves.items():
            weighted = truncation_errors(self._eigenvalues[part, True], curve.ranks)
            unweighted = truncation_errors(self._eigenvalues[part, False], curve.ranks)
            relative = [_at_most(bound, error) for bound, error in zip(weighted, curve.rel_sq_error)]
            power = rms[part] ** 2
            mean = [0.0] * len(curve.ranks)
            if power:
                mean = [_at_most(bound, e * e / power) * power for bound, e in zip(unweighted, curve.rmse)]
            svd_curves[part] = rank_curve(curve.ranks, relative, mean)
        return svd_curves

    def effective_ranks(self) -> dict[str, float]:
        """RankMe of every part, see `effective_rank`."""
        return {part: effective_rank(self._eigenvalues[part, True]) for part in self.members}

    def _sum(self, part: str, values: Sequence[float], weighted: bool) -> float:
        """Sum over the blocks of a part, with the problem's squared weights or without."""
        weights = self.problem.weights
        terms = [(weights[b] ** 2 if weighted else 1.0) * values[b] for b in self.members[part]]
        return math.fsum(terms)

    def _n_entries(self, part: str) -> float:
        """Entries of a part, including the neurons that were not kept."""
        problem = self.problem
        counts = problem.feature_counts
        return sum(problem.N * counts[b] * problem.blocks[b].sampling_factor for b in self.members[part])

    @cached_property
    def _eigenvalues(self) -> dict[tuple[str, bool], Tensor]:
        """Eigenvalues of XᵀX by part and whether weighted, up to a factor; each block's product is formed once."""
        weighted_grams = self._weighted_grams()
        weights = [weight**-2 if weight else 1.0 for weight in self.problem.weights]
        unweighted_grams = torch.tensor(weights).to(weighted_grams)[:, None, None] * weighted_grams
        sums = {}
        for part, positions in self.members.items():
            if len(positions) > 1:
                sums[part, True] = weighted_grams[positions].sum(0)
                sums[part, False] = unweighted_grams[positions].sum(0)
        grams = torch.stack([*weighted_grams, *sums.values()])
        found = self.problem.partition.map_stack(gram_eigvalsh, grams)
        eigenvalues = dict(zip(sums, found[len(weighted_grams) :]))
        for part, positions in self.members.items():
            for weighted in (True, False):
                eigenvalues.setdefault((part, weighted), found[positions[0]])
        return eigenvalues

    def _weighted_grams(self) -> Tensor:
        """XᵀX of every block, weighted, shape (blocks, N, N)."""
        problem = self.problem
        grams = torch.stack([problem.gram_block(b) for b in range(len(problem.blocks))])
        return problem.partition.all_reduce_sum(grams).to(problem.prototype)


def _at_most(bound: float, error: float) -> float:
    """The lower bound; the error itself where rounding has lifted the bound above it."""
    return min(bound, error) if bound < ROUNDING else bound

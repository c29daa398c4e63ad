"""Error against rank (papers 000, 001, 003), under three names for three quantities, and beside it the SVD's floor.

The papers plot an "RMSE" that they do not define; their published code computes a relative squared error.
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

#: Names of the parts that are no blocks; a block of such a name gets a suffix.
RESERVED = ("total", "inputs", "activations")
#: Squared relative errors below this are within the rounding of a float32 Gram matrix.
ROUNDING = 1e-5


def rank_curve(ranks: Sequence[int], rel_sq_error: Sequence[float], mean_sq_error: Sequence[float]) -> RankCurve:
    """The three errors from the squared relative one and the mean squared one, each at every rank."""
    square = tuple(max(float(e), 0.0) for e in rel_sq_error)
    rmse = tuple(math.sqrt(max(float(e), 0.0)) for e in mean_sq_error)
    return RankCurve(tuple(ranks), rmse, tuple(map(math.sqrt, square)), square)


class BlockGroups:
    """The parts of a problem that have a curve of their own: all, inputs, activations, every block.

    The relative error of several blocks is weighted as the problem is: it is that of the matrix which is factorised.
    Their rmse is that of the entries as captured, unweighted.

    Args:
        problem: The blocks and their weights.
    """

    def __init__(self, problem: CoupledProblem) -> None:
        self.problem = problem
        kinds = [block.kind for block in problem.blocks]
        everything = list(range(len(kinds)))
        members = {
            "total": everything,
            "inputs": [b for b in everything if kinds[b] == "input"],
            "activations": [b for b in everything if kinds[b] == "activation"],
            **{f"{n}-block" if n in RESERVED else n: [b] for b, n in enumerate(block.name for block in problem.blocks)},
        }
        self.members = {scope: blocks for scope, blocks in members.items() if blocks}

    def _sum(self, scope: str, values: Sequence[float], weighted: bool) -> float:
        weights = self.problem.weights
        return math.fsum((weights[b] ** 2 if weighted else 1.0) * values[b] for b in self.members[scope])

    def _entries(self, scope: str) -> float:
        """Entries of a part, the neurons that a budget left out included."""
        problem = self.problem
        counts = problem.feature_counts
        return sum(problem.N * counts[b] * problem.blocks[b].sampling_factor for b in self.members[scope])

    def rms(self) -> dict[str, float]:
        """Root mean square of the entries of every part."""
        energy = self.problem.block_energy
        return {s: math.sqrt(self._sum(s, energy, False) / self._entries(s)) for s in self.members}

    def curves(self, result: Factorization) -> dict[str, RankCurve]:
        """Errors of a coupled factorisation of the problem's blocks."""
        expansion = torch.tensor([block.sampling_factor for block in self.problem.blocks], dtype=torch.float64)
        table, curves = (result.sse * expansion).tolist(), {}
        for scope in self.members:
            energy = self._sum(scope, self.problem.block_energy, True) or 1.0
            relative = [self._sum(scope, row, True) / energy for row in table]
            mean = [self._sum(scope, row, False) / self._entries(scope) for row in table]
            curves[scope] = rank_curve(result.ranks, relative, mean)
        return curves

    def svd_curves(self, curves: Mapping[str, RankCurve]) -> dict[str, RankCurve]:
        """Errors of the truncated SVD at the ranks of ``curves``: below these no factorisation of the part can get.

        Where blocks are weighted, a part's two errors have two floors, of two matrices.
        """
        rms, floors = self.rms(), {}
        for scope, curve in curves.items():
            weighted = truncation_errors(self._spectra[scope, True], curve.ranks)
            plain = truncation_errors(self._spectra[scope, False], curve.ranks)
            relative = [_below(f, e) for f, e in zip(weighted, curve.rel_sq_error)]
            power = rms[scope] ** 2
            mean = [_below(f, e * e / power) * power if power else 0.0 for f, e in zip(plain, curve.rmse)]
            floors[scope] = rank_curve(curve.ranks, relative, mean)
        return floors

    def effective_ranks(self) -> dict[str, float]:
        """RankMe of every part."""
        return {scope: effective_rank(self._spectra[scope, True]) for scope in self.members}

    @cached_property
    def _spectra(self) -> dict[tuple[str, bool], Tensor]:
        """Eigenvalues of XᵀX of every part, up to a factor, weighted and not; one product a block."""
        problem = self.problem
        sums = torch.stack([problem.gram_block(b) for b in range(len(problem.blocks))])
        grams = problem.partition.all_reduce_sum(sums).to(problem.prototype)
        plain = torch.tensor([w**-2 if w else 1.0 for w in problem.weights]).to(grams)[:, None, None] * grams
        wanted = [(scope, w) for scope in self.members for w in (True, False)]
        several = [(scope, w) for scope, w in wanted if len(self.members[scope]) > 1]
        parts = [(grams if w else plain)[self.members[scope]].sum(0) for scope, w in several]
        found = problem.partition.map_stack(gram_eigvalsh, torch.stack([*grams, *parts]))
        spectra = dict(zip(several, found[len(grams) :]))
        return {(scope, w): spectra.get((scope, w), found[self.members[scope][0]]) for scope, w in wanted}


def _below(floor: float, error: float) -> float:
    """The floor, where rounding has lifted it above the error that it bounds."""
    return min(floor, error) if floor < ROUNDING else floor

"""Error against rank (papers 000, 001, 003), under three names for three quantities, and beside it the SVD's floor.

The papers plot an "RMSE" that they do not define; their published code computes a relative squared error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_factorlens.factorization import CoupledProblem
from lightning_factorlens.linalg.svd import effective_rank, truncation_errors
from lightning_factorlens.types import Factorization, RankCurve


def rank_curve(ranks: Sequence[int], rel_sq_error: Sequence[float], rms: float) -> RankCurve:
    """The three errors from the squared relative one.

    Args:
        ranks: Ascending.
        rel_sq_error: ‖X − X̂‖² / ‖X‖² at each.
        rms: Root mean square of the entries of X: rmse = rel_error · rms.
    """
    square = tuple(max(float(e), 0.0) for e in rel_sq_error)
    relative = tuple(map(math.sqrt, square))
    return RankCurve(tuple(ranks), tuple(rms * e for e in relative), relative, square)


class Scopes:
    """The parts of a problem that have a curve of their own: all, inputs, activations, every block.

    A part of several blocks is weighted as the problem is, so its relative error is that of the matrix which is
    factorised; its rms is that of the entries as captured.

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
            **{block.name: [b] for b, block in enumerate(problem.blocks)},
        }
        self.members = {scope: blocks for scope, blocks in members.items() if blocks}
        self._grams: dict[str, Tensor] | None = None

    def _weighted(self, scope: str, values: Sequence[float]) -> float:
        return math.fsum(self.problem.weights[b] ** 2 * values[b] for b in self.members[scope])

    def _relative(self, scope: str, sse: Sequence[float]) -> float:
        """SSE over energy, both weighted; 0 where there was nothing to explain."""
        energy = self._weighted(scope, self.problem.block_energy)
        expanded = [e * block.expansion for e, block in zip(sse, self.problem.blocks)]
        return self._weighted(scope, expanded) / energy if energy > 0 else 0.0

    def rms(self) -> dict[str, float]:
        """Root mean square of the entries of every part, the neurons that a budget left out included."""
        blocks, energy = self.problem.blocks, self.problem.block_energy
        return {
            scope: math.sqrt(
                math.fsum(energy[b] for b in members)
                / sum(blocks[b].samples.numel() * blocks[b].expansion for b in members)
            )
            for scope, members in self.members.items()
        }

    def curves(self, result: Factorization) -> dict[str, RankCurve]:
        """Errors of a coupled factorisation of the problem's blocks."""
        table, rms = result.sse.tolist(), self.rms()
        return {s: rank_curve(result.ranks, [self._relative(s, row) for row in table], rms[s]) for s in self.members}

    def floors(self, ranks: tuple[int, ...]) -> dict[str, RankCurve]:
        """Errors of the truncated SVD: below these no factorisation of the part can get."""
        rms = self.rms()
        return {s: rank_curve(ranks, truncation_errors(gram, ranks), rms[s]) for s, gram in self.grams().items()}

    def effective_ranks(self) -> dict[str, float]:
        """RankMe of every part."""
        return {scope: effective_rank(gram) for scope, gram in self.grams().items()}

    def grams(self) -> dict[str, Tensor]:
        """XᵀX of every part, up to scale, shape (N, N) each; one product a block."""
        if self._grams is None:
            single = [self.problem.reduce(self.problem.gram_block(b)) for b in range(len(self.problem.blocks))]
            self._grams = {
                scope: single[members[0]] if len(members) == 1 else torch.stack([single[b] for b in members]).sum(0)
                for scope, members in self.members.items()
            }
        return self._grams

"""Eigenvalues of the Gram matrices of parts of a problem, and the errors of the truncated SVD that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from lightning_factorlens.factorization import CoupledProblem
from lightning_factorlens.linalg.svd import gram_eigvalsh, sample_gram, truncation_errors
from lightning_factorlens.metrics.svd_floors import svd_floors

#: From this number of samples on, Gram matrices are formed one after the other, and none for errors at few ranks.
LARGE_N = 1024
#: The largest rank whose error is found by iteration, as a fraction of the samples.
_LARGEST_RANK = 0.125
#: Up to this number of features, as a fraction of the samples, the Gram matrix of the features takes less time.
_FEW_FEATURES = 0.25

#: Name of a part, and whether its blocks are weighted.
Part = tuple[str, bool]


class PartSpectra:
    """Eigenvalues of XᵀX of every part, weighted and unweighted, up to a factor.

    Args:
        problem: The blocks.
        members: Positions of the blocks by part.
    """

    def __init__(self, problem: CoupledProblem, members: Mapping[str, Sequence[int]]) -> None:
        self.problem = problem
        self.members = members
        self.is_large = problem.N >= LARGE_N
        self._known: dict[tuple[float, ...], Tensor] = {}

    def weighted_eigenvalues(self) -> dict[str, Tensor]:
        """The eigenvalues of XᵀX of every part, weighted; at least those that are not zero."""
        if not self.is_large:
            return {part: self._at_once[part, True] for part in self.members}
        return {part: self._one_by_one((part, True)) for part in self.members}

    def squared_errors(self, ranks: Sequence[int]) -> dict[Part, list[float]]:
        """Squared relative errors of the truncated SVD of every part, see `truncation_errors`.

        With at least 1,024 samples and ranks of at most an eighth of them, these come from `svd_floors` where the
        eigenvalues are not known already; the relative errors then differ from the exact ones by at most 1e-7.
        """
        if not self.is_large:
            return {part: truncation_errors(values, ranks) for part, values in self._at_once.items()}
        found: dict[tuple[float, ...], list[float]] = {}
        if max(ranks) <= _LARGEST_RANK * self.problem.N:
            found = self._iterate(ranks)
        errors = {}
        for name in self.members:
            for part in ((name, True), (name, False)):
                factors = self._factors(part)
                if factors not in found:
                    found[factors] = truncation_errors(self._one_by_one(part), ranks)
                errors[part] = found[factors]
        return errors

    def _iterate(self, ranks: Sequence[int]) -> dict[tuple[float, ...], list[float]]:
        """The errors by the factors of the blocks: first of every block by itself, then of all sums of blocks."""
        rows = {self._factors((name, is_weighted)) for name in self.members for is_weighted in (True, False)}
        sums = []
        found = {}
        for row in sorted(rows - set(self._known)):
            n_live = sum(factor > 0 for factor in row)
            if n_live == 0:
                found[row] = [math.nan] * len(ranks)
            elif n_live > 1:
                sums.append(row)
            elif not self._has_few_features(row):
                found |= self._floors([row], ranks)
        if sums:
            found |= self._floors(sums, ranks)
        return found

    def _floors(self, rows: list[tuple[float, ...]], ranks: Sequence[int]) -> dict[tuple[float, ...], list[float]]:
        floors = svd_floors(self.problem, torch.tensor(rows, dtype=torch.float64), ranks)
        return {row: errors for row, errors in zip(rows, floors) if errors is not None}

    def _factors(self, part: Part) -> tuple[float, ...]:
        """What the squares of the problem's ω are multiplied with; at most 1, and 0 for other blocks and dead ones."""
        name, is_weighted = part
        row = [0.0] * len(self.problem.blocks)
        for b in self.members[name]:
            weight = self.problem.weights[b]
            if self.problem.block_energy[b] > 0 and weight > 0:
                row[b] = 1.0 if is_weighted else weight**-2
        largest = max(row)
        if largest == 0:
            return tuple(row)
        # Equal up to rounding is equal: the unweighted sum of blocks of one weight is their weighted one.
        return tuple(float(f"{factor / largest:.14g}") for factor in row)

    def _has_few_features(self, factors: Sequence[float]) -> bool:
        """Whether only one block counts, all of whose features are here and few."""
        live = [b for b, factor in enumerate(factors) if factor > 0]
        if len(live) != 1 or self.problem.partition.is_sharded:
            return False
        return self.problem.feature_counts[live[0]] <= _FEW_FEATURES * self.problem.N

    def _one_by_one(self, part: Part) -> Tensor:
        """The eigenvalues of one part; at most three N × N matrices exist at a time."""
        factors = self._factors(part)
        if factors not in self._known:
            self._known[factors] = self._eigenvalues(factors)
        return self._known[factors]

    def _eigenvalues(self, factors: Sequence[float]) -> Tensor:
        problem = self.problem
        if self._has_few_features(factors):
            b = max(range(len(factors)), key=factors.__getitem__)
            return gram_eigvalsh(sample_gram(problem.blocks[b].samples.T, problem.omega[b])[None])[0]
        total = torch.zeros(problem.N, problem.N, dtype=torch.float64, device=problem.prototype.device)
        for b, factor in enumerate(factors):
            if factor > 0:
                # A factor of ω, not of the product, which would need a further N × N matrix.
                scale = problem.omega[b] * math.sqrt(factor)
                total += sample_gram(problem.blocks[b].samples, scale).to(total.device)
        total = problem.partition.all_reduce_sum(total)
        return problem.partition.broadcast(gram_eigvalsh(total[None])[0])

    @cached_property
    def _at_once(self) -> dict[Part, Tensor]:
        """The eigenvalues of every part, all Gram matrices in one stack; each block's product is formed once."""
        weighted_grams = self._weighted_grams()
        inverse_squares = []
        for weight in self.problem.weights:
            inverse_squares.append(weight**-2 if weight else 1.0)
        factors = torch.tensor(inverse_squares, dtype=torch.float64, device=weighted_grams.device)
        unweighted_grams = factors[:, None, None] * weighted_grams
        sums = {}
        for part, positions in self.members.items():
            if len(positions) > 1:
                sums[part, True] = weighted_grams[list(positions)].sum(0)
                sums[part, False] = unweighted_grams[list(positions)].sum(0)
        grams = torch.stack([*weighted_grams, *sums.values()])
        found = self.problem.partition.map_stack(gram_eigvalsh, grams)
        eigenvalues = dict(zip(sums, found[len(weighted_grams) :]))
        for part, positions in self.members.items():
            for weighted in (True, False):
                eigenvalues.setdefault((part, weighted), found[positions[0]])
        return eigenvalues

    def _weighted_grams(self) -> Tensor:
        """XᵀX of every block, weighted, shape (blocks, N, N), float64."""
        problem = self.problem
        grams = []
        for block, omega in zip(problem.blocks, problem.omega):
            grams.append(sample_gram(block.samples, omega).to(problem.prototype.device))
        return problem.partition.all_reduce_sum(torch.stack(grams))

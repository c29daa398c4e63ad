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
LARGE_N = 2048
#: The largest rank whose error is found by iteration, as a fraction of the samples.
_LARGEST_RANK = 0.125
#: Up to this number of features, as a fraction of the samples, the Gram matrix of the features takes less time.
_FEW_FEATURES = 0.25

#: Name of a part, and whether its blocks are weighted.
Part = tuple[str, bool]
#: What the squares of the problem's ω are multiplied with in a part, one number for each block.
Factors = tuple[float, ...]


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
        self._known: dict[Factors, Tensor] = {}

    def weighted_eigenvalues(self) -> dict[str, Tensor]:
        """The eigenvalues of XᵀX of every part, weighted; at least those that are not zero."""
        if not self.is_large or self.problem.partition.is_sharded:  # several processes share the work
            return {part: self._at_once[part, True] for part in self.members}
        self._fill_in_turn()
        return {part: self._eigenvalues_of(self._factors((part, True))) for part in self.members}

    def squared_errors(self, ranks: Sequence[int]) -> dict[Part, list[float]]:
        """Squared relative errors of the truncated SVD of every part, see `truncation_errors`.

        With at least 2,048 samples and ranks of at most an eighth of them, these come from `svd_floors` where the
        eigenvalues are not known already; the relative errors then differ from the exact ones by at most 1e-7.
        """
        if not self.is_large or "_at_once" in self.__dict__:
            return {part: truncation_errors(values, ranks) for part, values in self._at_once.items()}
        found = self._iterate(ranks)
        errors = {}
        for name in self.members:
            for part in ((name, True), (name, False)):
                factors = self._factors(part)
                if factors not in found:
                    found[factors] = truncation_errors(self._eigenvalues_of(factors), ranks)
                errors[part] = found[factors]
        return errors

    def _iterate(self, ranks: Sequence[int]) -> dict[Factors, list[float]]:
        """The errors that `svd_floors` finds, by the factors of the blocks."""
        rows = []
        for name in self.members:
            for is_weighted in (True, False):
                row = self._factors((name, is_weighted))
                is_dead = not any(row)
                if row not in rows and row not in self._known and not is_dead and not self._has_few_features(row):
                    rows.append(row)
        if not rows or max(ranks) > _LARGEST_RANK * self.problem.N:
            return {}
        floors = svd_floors(self.problem, torch.tensor(rows, dtype=torch.float64), ranks)
        return {row: errors for row, errors in zip(rows, floors) if errors is not None}

    def _factors(self, part: Part) -> Factors:
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

    def _eigenvalues_of(self, factors: Factors) -> Tensor:
        """The eigenvalues of a sum of blocks, of which its N × N Gram matrix is formed alone."""
        if factors not in self._known:
            live = [b for b, factor in enumerate(factors) if factor > 0]
            if not live:
                return torch.zeros(1, dtype=torch.float64)
            if self._has_few_features(factors):
                samples = self.problem.blocks[live[0]].samples.T
                self._known[factors] = gram_eigvalsh(sample_gram(samples, self.problem.omega[live[0]])[None])[0]
                return self._known[factors]
            total = self.problem.prototype.new_zeros(self.problem.N, self.problem.N, dtype=torch.float64)
            for b in live:
                # A factor of ω, not of the product, which would need a further N × N matrix.
                total += self._gram(b, self.problem.omega[b] * math.sqrt(factors[b]))
            self._known[factors] = self._decompose(total)
        return self._known[factors]

    def _fill_in_turn(self) -> None:
        """Finds the eigenvalues of every part, weighted; each block's Gram matrix is formed once and added up."""
        total = None
        for kind in ("inputs", "activations"):
            of_kind = None
            for b in self.members.get(kind, ()):
                factors = tuple(float(b == other) for other in range(len(self.problem.blocks)))
                if not self.problem.block_energy[b] > 0:
                    continue
                gram = self._gram(b, self.problem.omega[b])
                if not self._has_few_features(factors):
                    self._known[factors] = self._decompose(gram)
                of_kind = gram if of_kind is None else of_kind.add_(gram)
            if of_kind is not None:
                of_kind_factors = self._factors((kind, True))
                if of_kind_factors not in self._known and not self._has_few_features(of_kind_factors):
                    self._known[of_kind_factors] = self._decompose(of_kind)
                total = of_kind if total is None else total.add_(of_kind)
        if total is not None and self._factors(("total", True)) not in self._known:
            self._known[self._factors(("total", True))] = self._decompose(total)

    def _gram(self, b: int, scale: float) -> Tensor:
        gram = sample_gram(self.problem.blocks[b].samples, scale).to(self.problem.prototype.device)
        return self.problem.partition.all_reduce_sum(gram)

    def _decompose(self, gram: Tensor) -> Tensor:
        return self.problem.partition.broadcast(gram_eigvalsh(gram[None])[0])

    @cached_property
    def _at_once(self) -> dict[Part, Tensor]:
        """The eigenvalues of every part; each block's product is formed once."""
        if self.problem.partition.is_sharded or self.problem.prototype.device.type != "cpu":
            return self._of_one_stack()
        eigenvalues: dict[Part, Tensor] = {}
        sums: dict[Part, Tensor] = {}
        for b, weight in enumerate(self.problem.weights):
            gram = self._gram(b, self.problem.omega[b])  # the only one in memory, besides the sums
            of_block = self._decompose(gram)
            for part, positions in self.members.items():
                if list(positions) == [b]:
                    eigenvalues[part, True] = eigenvalues[part, False] = of_block
                elif b in positions:
                    for is_weighted, factor in ((True, 1.0), (False, weight**-2 if weight else 1.0)):
                        sums.setdefault((part, is_weighted), torch.zeros_like(gram)).add_(gram, alpha=factor)
        for key in list(sums):
            eigenvalues[key] = self._decompose(sums.pop(key))
        return eigenvalues

    def _of_one_stack(self) -> dict[Part, Tensor]:
        """The eigenvalues of every part from one stack of Gram matrices, for several processes and accelerators."""
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

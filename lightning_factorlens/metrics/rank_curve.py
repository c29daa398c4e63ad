"""Error of the factorisation against its rank, and the error of the truncated SVD beside it.

Saini and Papalexakis (2018), "Characterizing & exploring deep CNN representations using factorization", figure 2, plot
an "RMSE" that they do not define; their published code computes a relative squared error. Here three quantities have
three names, see `RankCurve`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from lightning_factorlens.factorization import CoupledProblem
from lightning_factorlens.linalg.svd import effective_rank
from lightning_factorlens.metrics.part_spectra import PartSpectra
from lightning_factorlens.results import Factorization, RankCurve

#: Names of the parts that are not blocks; a block of such a name gets a suffix.
RESERVED = ("total", "inputs", "activations")
#: A bound on the squared error that exceeds it by no more than this fraction of it, and this fraction of ‖X‖², does so
#: by rounding: the factors and the residuals are float32.
ROUNDING = 1e-4
ABSOLUTE_ROUNDING = 1e-12


def rank_curve(ranks: Sequence[int], rel_sq_error: Sequence[float], mean_sq_error: Sequence[float]) -> RankCurve:
    """The three errors from the squared relative error and the mean squared error.

    Args:
        ranks: Ranks, ascending.
        rel_sq_error: ‖X − X̂‖² / ‖X‖² at every rank; rounding below 0 is cut off, NaN remains NaN.
        mean_sq_error: ‖X − X̂‖² / entries at every rank.

    Returns:
        The curve.

    Example:
        >>> rank_curve((1, 2), (0.25, 0.04), (1.0, 0.16))
        RankCurve(ranks=(1, 2), rmse=(1.0, 0.4), rel_error=(0.5, 0.2), rel_sq_error=(0.25, 0.04))
    """
    squared = tuple(map(_non_negative, rel_sq_error))
    relative = tuple(map(math.sqrt, squared))
    rmse = tuple(map(math.sqrt, map(_non_negative, mean_sq_error)))
    return RankCurve(tuple(ranks), rmse, relative, squared)


def _non_negative(error: float) -> float:
    if error < 0:  # not max(0.0, error), which is 0.0 for NaN
        return 0.0
    return float(error)


class BlockGroups:
    """The parts of a problem that have a curve of their own: all blocks, inputs, activations, and every block.

    The relative error of several blocks is that of the weighted matrix which is factorised. Their rmse is that of the
    entries as captured, unweighted.

    Args:
        problem: The blocks and their weights.

    Attributes:
        problem: The argument.
        members: Positions of the blocks by part; a part without blocks has no entry.
    """

    def __init__(self, problem: CoupledProblem) -> None:
        self.problem = problem
        inputs: list[int] = []
        activations: list[int] = []
        single: dict[str, list[int]] = {}
        for position, block in enumerate(problem.blocks):
            if block.kind == "input":
                inputs.append(position)
            else:
                activations.append(position)
            name = block.name
            if name in RESERVED:
                name = f"{name}-block"
            single[name] = [position]
        self.members: dict[str, list[int]] = {"total": list(range(len(problem.blocks)))}
        if inputs:
            self.members["inputs"] = inputs
        if activations:
            self.members["activations"] = activations
        self.members |= single
        self._spectra = PartSpectra(problem, self.members)

    def rms(self) -> dict[str, float]:
        """Root mean square of the entries of every part."""
        found = {}
        for part in self.members:
            energy = self._sum(part, self.problem.block_energy, weighted=False)
            found[part] = math.sqrt(energy / self._n_entries(part))
        return found

    def dead_parts(self) -> tuple[str, ...]:
        """Parts all of whose values are zero: they have no relative error, no SVD and no effective rank."""
        dead = []
        for part, positions in self.members.items():
            if not any(self.problem.block_energy[b] for b in positions):
                dead.append(part)
        return tuple(dead)

    def curves(self, factorization: Factorization) -> dict[str, RankCurve]:
        """Errors of a coupled factorisation of the problem's blocks, by part; NaN for a dead part."""
        problem = self.problem
        factors = []
        for block in problem.blocks:
            factors.append(block.sampling_factor)
        sse_by_rank = (factorization.sse * torch.tensor(factors, dtype=torch.float64)).tolist()
        curves = {}
        for part in self.members:
            energy = self._sum(part, problem.block_energy, weighted=True) or math.nan
            n_entries = self._n_entries(part) if energy > 0 else math.nan
            relative = []
            mean = []
            for sse in sse_by_rank:
                relative.append(self._sum(part, sse, weighted=True) / energy)
                mean.append(self._sum(part, sse, weighted=False) / n_entries)
            curves[part] = rank_curve(factorization.ranks, relative, mean)
        return curves

    def svd_curves(self, curves: Mapping[str, RankCurve]) -> dict[str, RankCurve]:
        """Errors of the truncated SVD at the same ranks, below which no factorisation of the part can get.

        Where blocks are weighted, the two errors of a part belong to two matrices and have two lower bounds. A dead
        part has NaN.

        Args:
            curves: Errors of the factorisation, see `curves`.
        """
        rms = self.rms()
        svd_curves = {}
        errors = self._spectra.squared_errors(curves["total"].ranks)
        for part, curve in curves.items():
            weighted = errors[part, True]
            unweighted = errors[part, False]
            power = rms[part] ** 2
            relative = []
            mean = []
            for k, (relative_bound, mean_bound) in enumerate(zip(weighted, unweighted)):
                relative.append(_at_most(relative_bound, curve.rel_sq_error[k], 1.0))
                mean.append(_at_most(mean_bound * power, curve.rmse[k] ** 2, power))
            svd_curves[part] = rank_curve(curve.ranks, relative, mean)
        return svd_curves

    def effective_ranks(self) -> dict[str, float]:
        """RankMe of every part, see `effective_rank`; NaN for a dead part."""
        dead = self.dead_parts()
        ranks = {}
        for part, eigenvalues in self._spectra.weighted_eigenvalues().items():
            ranks[part] = math.nan
            if part not in dead:
                ranks[part] = effective_rank(eigenvalues)
        return ranks

    def _sum(self, part: str, values: Sequence[float], weighted: bool) -> float:
        """Sum over the blocks of a part, with the problem's squared weights or without."""
        terms = []
        for b in self.members[part]:
            squared_weight = self.problem.weights[b] ** 2 if weighted else 1.0
            terms.append(squared_weight * values[b])
        return math.fsum(terms)

    def _n_entries(self, part: str) -> float:
        """Entries of a part, including the neurons that were not kept."""
        problem = self.problem
        entries = []
        for b in self.members[part]:
            entries.append(problem.N * problem.feature_counts[b] * problem.blocks[b].sampling_factor)
        return sum(entries)


def _at_most(bound: float, error: float, power: float) -> float:
    """The lower bound of a squared error; the error itself where rounding has lifted the bound above it."""
    if error < bound <= error * (1 + ROUNDING) + ABSOLUTE_ROUNDING * power:
        return error
    return bound

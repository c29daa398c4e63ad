"""The problems on which the stages of a fit iterate, and the initial sample factors."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.factorization.compression import CompressedProblem, basis_width
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.sampling import sampled_problem
from lightning_factorlens.factorization.state import Stage
from lightning_factorlens.linalg.initialization import init_random, nndsvd
from lightning_factorlens.linalg.svd import leading_eigenvectors

#: Ranks from which on NNDSVD is the only initialization. There it was ahead of nine random ones after the screening's
#: iterations, by 0.7 to 10 % on four problems, so that they were never continued. At rank 64 they sometimes were, and
#: the error would be up to 0.6 % larger without them.
SINGLE_START_RANK = 128


class StageProblems:
    """The problem of each stage, from few sampled rows to all rows; each is made once.

    Args:
        problem: The problem with all feature rows.
        ranks: The ranks of the fit, ascending.
        start: The sample factors of an earlier result, shape (R, N), if given. They already span most of the subspace
            that the fit uses.
    """

    def __init__(self, problem: CoupledProblem, ranks: tuple[int, ...], start: Tensor | None = None) -> None:
        self.problem = problem
        self.start = start
        self.rank = ranks[-1]
        self.width = basis_width(self.rank, problem.N)
        self._sampled: dict[int, CoupledProblem] = {}
        self._vectors: Tensor | None = None

    def __call__(self, stage: Stage) -> CoupledProblem:
        """Returns the problem of a stage."""
        size = stage.n_sampled_rows
        if not size or not self.problem.energy > 0:
            return self.problem
        if size not in self._sampled:
            sampled = sampled_problem(self.problem, size)
            if self.width is not None:
                sampled = CompressedProblem(sampled, self.vectors(sampled))
            self._sampled[size] = sampled
        return self._sampled[size]

    def vectors(self, problem: CoupledProblem) -> Tensor:
        """Returns leading right singular vectors, shape (N, k).

        They are those of the problem of the first call; they serve the later stages as well.
        """
        if self._vectors is None:
            k = min(self.width or self.rank, problem.N)
            if self.start is None:
                self._vectors = leading_eigenvectors(problem.gram(), k)
            else:
                self._vectors = problem.subspace(self.start, k)
        return self._vectors


def initialized_groups(ranks: tuple[int, ...], n_init: int, use_nndsvd: bool = True) -> ComponentGroups:
    """Returns one group for each rank and initialization, see `initial_factors`.

    Args:
        ranks: The ranks, ascending.
        n_init: Number of initializations of each rank below `SINGLE_START_RANK`.
        use_nndsvd: Whether the first one is NNDSVD; without it, every rank has as many random ones.

    Example:
        >>> initialized_groups((64, 128), n_init=2).sizes
        (64, 64, 128)
    """
    sizes: list[int] = []
    for rank in ranks:
        is_single = use_nndsvd and rank >= SINGLE_START_RANK
        sizes += [rank] * (1 if is_single else n_init)
    return ComponentGroups(tuple(sizes))


def initial_factors(
    problem: CoupledProblem, V: Tensor, ranks: tuple[int, ...], n_init: int, seed: int, use_nndsvd: bool = True
) -> Tensor:
    """Computes the initial sample factors of all ranks.

    The first initialization of each rank is NNDSVD, whose first r rows serve rank r; the others are random. Components
    above N, which NNDSVD does not provide, are random, too. From `SINGLE_START_RANK` on there are no others.

    Args:
        problem: The problem of the first stage.
        V: Leading right singular vectors, shape (N, k).
        ranks: The ranks, ascending.
        n_init: See `initialized_groups`.
        seed: Seed of the random ones.
        use_nndsvd: Whether the first one is NNDSVD; otherwise all are random.

    Returns:
        Shape (R, N), the components of `initialized_groups` stacked.
    """
    generator = torch.Generator().manual_seed(seed)
    norms_sq = problem.row_norms_sq()
    nested = V.new_empty(0, problem.N)
    if use_nndsvd:
        nested = nndsvd(V[:, : ranks[-1]].contiguous(), problem.project)

    def random(rank: int) -> Tensor:
        return init_random(problem.rows, norms_sq, rank, generator)

    factors: list[Tensor] = []
    previous = 0
    for rank in initialized_groups(ranks, n_init, use_nndsvd).sizes:
        if rank == previous:
            factors.append(random(rank))
        elif rank <= len(nested):
            factors.append(nested[:rank])
        else:
            factors.append(torch.cat([nested, random(rank - len(nested))]))
        previous = rank
    return torch.cat(factors)


def replace_zero_components(problem: CoupledProblem, F: Tensor, seed: int) -> Tensor:
    """Returns F with random initial values in place of the components that are zero, which no update would change.

    Args:
        problem: The problem of the first stage.
        F: The sample factors of an earlier result, shape (R, N).
        seed: Seed of the random values.
    """
    is_zero = torch.linalg.vector_norm(F, dim=1) == 0
    n_zero = int(is_zero.sum())
    if n_zero == 0:
        return F
    F = F.clone()
    generator = torch.Generator().manual_seed(seed)
    F[is_zero] = init_random(problem.rows, problem.row_norms_sq(), n_zero, generator)
    return F

"""The one fit loop: stages, starts, the best iterate kept, groups that rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization.compression import CompressedProblem, basis_width
from lightning_factorlens.factorization.cuda_graphs import GraphedStep
from lightning_factorlens.factorization.evaluate import block_sse
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.hals import HALS
from lightning_factorlens.factorization.monotone import enforce_monotone_
from lightning_factorlens.factorization.normalize import normalize_rows_
from lightning_factorlens.factorization.precision import full_precision
from lightning_factorlens.factorization.problem import CoupledProblem, Weighting
from lightning_factorlens.factorization.sampling import sampled_problem
from lightning_factorlens.factorization.solver import Solver, SolverResult, Stage, State
from lightning_factorlens.factorization.streaming import StreamedProblem
from lightning_factorlens.linalg.initialization import init_random, nndsvd
from lightning_factorlens.linalg.svd import leading_eigenvectors
from lightning_factorlens.results import Block, Factorization

#: A group rests after so many passes below tolerance.
PATIENCE = 2
#: On an accelerator: passes of a stage above which one is recorded and replayed, and passes between looks at it.
GRAPH_MIN_ITER, CHECK_EVERY = 30, 8


@dataclass
class StageResult:
    """What one stage came to: the best F of every group, its objective, the way there, and where it stopped.

    ``state`` is the last state where it holds every group, None where some had been left out at rest.
    """

    groups: ComponentGroups
    F: Tensor
    objective: Tensor
    history: list[list[float]]
    state: State | None
    converged: bool

    def best_restarts(self, restarts: int, survivors: int) -> StageResult:
        """The leg of the best ``survivors`` of each rank's restarts alone."""
        if restarts == survivors:
            return self
        best = self.objective.view(-1, restarts).argsort(dim=1, stable=True)[:, :survivors]
        keep = [i * restarts + j for i, row in enumerate(best.tolist()) for j in row]
        index = self.groups.rows(keep).to(self.F.device)
        groups = ComponentGroups(tuple(self.groups.sizes[k] for k in keep))
        state = None if self.state is None else self.state.select(self.groups, keep)
        history = [self.history[k] for k in keep]
        return StageResult(groups, self.F[index], self.objective[keep], history, state, self.converged)


class StageProblems:
    """The problems that the stages of a fit work on, from coarse to whole, each made once.

    Args:
        problem: The whole.
        ranks: Ascending.
        start: The factors to go on from, shape (R, N), which already span most of the subspace that carries the fit.
    """

    def __init__(self, problem: CoupledProblem, ranks: tuple[int, ...], start: Tensor | None = None) -> None:
        self.problem, self.start = problem, start
        self.rank = ranks[-1]
        self.width = basis_width(self.rank, problem.N)
        self.parts: dict[int, CoupledProblem] = {}
        self.V: Tensor | None = None

    def __call__(self, stage: Stage) -> CoupledProblem:
        """The problem of a stage."""
        if not stage.sample or not self.problem.energy > 0:
            return self.problem
        if stage.sample not in self.parts:
            part = sampled_problem(self.problem, stage.sample)
            self.parts[stage.sample] = part if self.width is None else CompressedProblem(part, self.vectors(part))
        return self.parts[stage.sample]

    def vectors(self, part: CoupledProblem) -> Tensor:
        """Leading right singular vectors, of the first part that asked: they serve the finer ones as well."""
        if self.V is None:
            k = min(self.width or self.rank, part.N)
            start = self.start
            self.V = leading_eigenvectors(part.gram(), k) if start is None else part.subspace(start, k)
        return self.V


def factorize(
    blocks: Sequence[Block],
    ranks: Sequence[int],
    *,
    solver: Solver | None = None,
    weighting: Weighting = "unit",
    start: Sequence[Tensor] | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> Factorization:
    """Fits X_b ≈ W_b F with shared non-negative F at all ranks in one batch (paper 000, eq. 1).

    Args:
        blocks: Matrices that share their samples.
        ranks: As in `fit`.
        solver: As in `fit`.
        weighting: See `CoupledProblem`.
        start: As in `fit`.
        seed: As in `fit`.
        device: Where to compute, if not where the blocks are: they stay there and travel a few thousand features at
            a time, as they must when they do not fit.

    Returns:
        Factors and errors, on that device.

    Raises:
        ValueError: What `CoupledProblem` or `fit` refuses.
    """
    problem = CoupledProblem(blocks, weighting) if device is None else StreamedProblem(blocks, weighting, device)
    return fit(problem, ranks, solver=solver, start=start, seed=seed)


def fit(
    problem: CoupledProblem,
    ranks: Sequence[int],
    *,
    solver: Solver | None = None,
    start: Sequence[Tensor] | None = None,
    seed: int = 0,
) -> Factorization:
    """`factorize` for a problem already posed.

    Args:
        problem: Blocks, their weights, and the sum over devices.
        ranks: Each ≥ 1; sorted and freed of duplicates.
        solver: `HALS()` unless given.
        start: The ``F`` of an earlier result with the same ranks and samples, to go on from it.
        seed: Of the random starts; no global random state is read or changed.

    Returns:
        Factors and errors.

    Raises:
        ValueError: Ranks below 1, or a start of another shape.
    """
    ranks = checked_ranks(ranks)
    solver = solver or HALS()
    with torch.no_grad(), full_precision():
        F = None if start is None else _checked_start(start, ranks, problem)
        level = StageProblems(problem, ranks, F)
        for stage in solver.schedule(problem, warm=F is not None):
            part = level(stage)
            if F is None:
                F = _starts(part, level.vectors(part), ranks, stage.n_init, seed)
            groups = ComponentGroups(tuple(r for r in ranks for _ in range(stage.n_init)))
            leg = _iterate(part, groups, F, solver, stage).best_restarts(stage.n_init, stage.survivors)
            F = leg.F
        F = problem.partition.broadcast(leg.F)
        done = solver.finish(problem, leg.groups, F, None if stage.sample else leg.state)
        sse = block_sse(problem, leg.groups, done.F, done.W, done.sums)
        if solver.penalty_W is None and solver.penalty_F is None:
            sse = enforce_monotone_(problem, leg.groups, done.F, done.W, sse)
            normalize_rows_(done.F, done.W)
        return _result(problem, ranks, leg, done, sse, stage)


def make_problem(
    blocks: Sequence[Block], weighting: Weighting, partition: Partition, solver: Solver | None, warm: bool
) -> CoupledProblem:
    """The problem of a look, shared where that pays.

    Args:
        blocks: One process's features of every block.
        weighting: See `CoupledProblem`.
        partition: Of ``blocks``.
        solver: Where it iterates over all features, not over a sample, everyone is given all of them and works alone.
        warm: Whether there are factors to start from.

    Raises:
        ValueError: As `CoupledProblem`.
    """
    problem = CoupledProblem(blocks, weighting, partition)
    sampled = all(stage.sample for stage in (solver or HALS()).schedule(problem, warm))
    return problem if sampled and problem.energy > 0 else problem.unshard()


def checked_ranks(ranks: Sequence[int]) -> tuple[int, ...]:
    """Ranks ascending and distinct.

    Raises:
        ValueError: None, or one that is not a whole number ≥ 1.
    """
    listed = list(ranks) if isinstance(ranks, Iterable) else [ranks]
    if not listed or any(isinstance(r, bool) or not isinstance(r, int) or r < 1 for r in listed):
        raise ValueError(f"ranks: must be one or more whole numbers ≥ 1, found {ranks!r}.")
    return tuple(sorted(set(listed)))


def _checked_start(start: Sequence[Tensor], ranks: tuple[int, ...], problem: CoupledProblem) -> Tensor:
    found, wanted = [tuple(f.shape) for f in start], [(r, problem.N) for r in ranks]
    if found != wanted:
        raise ValueError(f"start: found factors of shape {found}, the ranks and samples need {wanted}.")
    return torch.cat([f.to(problem.prototype) for f in start])


def _starts(problem: CoupledProblem, V: Tensor, ranks: tuple[int, ...], restarts: int, seed: int) -> Tensor:
    """NNDSVD first, then random rows; a rank above N is filled with random rows."""
    generator = torch.Generator().manual_seed(seed)
    norms_sq = problem.row_norms_sq()
    nested = nndsvd(V[:, : ranks[-1]].contiguous(), problem.project)

    def random(rank: int) -> Tensor:
        return init_random(problem.rows, norms_sq, rank, generator)

    starts = []
    for r in ranks:
        starts.append(nested[:r] if r <= len(nested) else torch.cat([nested, random(r - len(nested))]))
        starts += [random(r) for _ in range(restarts - 1)]
    return torch.cat(starts)


def _iterate(problem: CoupledProblem, groups: ComponentGroups, F: Tensor, solver: Solver, stage: Stage) -> StageResult:
    """Steps until every group rests or the stage's passes are used up."""
    state, now, device = solver.init(problem, groups, F), groups, problem.prototype.device
    here = device.type == "cpu"  # elsewhere calls are what costs, and a look at the numbers makes the host wait
    replayed = (
        GraphedStep(solver, problem, groups) if device.type == "cuda" and stage.max_iter >= GRAPH_MIN_ITER else None
    )
    best_F, best = state.F.clone(), torch.full_like(state.objective, torch.inf)
    active, calm = list(range(len(groups))), torch.zeros_like(best, dtype=torch.long)
    rows, places = groups.rows(active).to(device), torch.tensor(active, device=device)
    walked: list[tuple[list[int], Tensor]] = []
    for i in range(stage.max_iter):
        before = state.objective
        state = replayed(state) if replayed else solver.step(problem, now, state)
        better = state.objective <= best[places]
        best[places] = torch.where(better, state.objective, best[places])
        best_F[rows] = torch.where(now.expand(better), state.F, best_F[rows])
        walked.append((active, state.objective))
        still = (before - state.objective).abs() <= stage.tol * state.objective
        calm = torch.where(still, calm + 1, 0)
        if not here and (i + 1) % CHECK_EVERY and i + 1 < stage.max_iter:
            continue
        moving = torch.nonzero(calm < PATIENCE).flatten().tolist()
        if not moving:
            break
        if here and solver.can_freeze and len(moving) < len(active):
            state, active, calm = state.select(now, moving), [active[i] for i in moving], calm[moving]
            now = ComponentGroups(tuple(groups.sizes[k] for k in active))
            rows, places = groups.rows(active).to(device), torch.tensor(active, device=device)
    history: list[list[float]] = [[] for _ in groups.sizes]
    values = iter(torch.cat([objective for _, objective in walked]).tolist())
    for k in (k for those, _ in walked for k in those):
        history[k].append(next(values))
    whole = state if len(active) == len(groups) else None
    return StageResult(groups, best_F, best, history, whole, converged=not moving)


def _result(
    problem: CoupledProblem, ranks: tuple[int, ...], leg: StageResult, done: SolverResult, sse: Tensor, stage: Stage
) -> Factorization:
    for c, omega in zip(problem.columns, problem.omega):
        done.W[:, c] /= omega or 1.0  # back in the block's own units
    walked = leg.history if stage.sample is None else [[] for _ in ranks]
    history = [[*h, o] for h, o in zip(walked, done.objective.tolist())]
    advice = f"stopped after {stage.max_iter} passes with some ranks still moving; raise `{stage.option_name}` for more digits"
    return Factorization(
        ranks=ranks,
        F=tuple(f.clone() for f in leg.groups.split(done.F)),
        W=tuple(
            problem.partition.gather_factors([w[:, c].T for c in problem.columns]) for w in leg.groups.split(done.W)
        ),
        sse=sse,
        block_names=tuple(b.name for b in problem.blocks),
        weights=problem.weights,
        objective=tuple(done.objective.tolist()),
        history=tuple(map(tuple, history)),
        n_iter=max(map(len, history)),
        status="every rank came to rest" if leg.converged else advice,
        shapes=tuple(b.shape for b in problem.blocks),
        kept_features=tuple(b.kept_features for b in problem.blocks),
    )

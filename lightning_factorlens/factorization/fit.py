"""The fit of all ranks in one batch, the same for every solver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from lightning_factorlens._validation import check_choice
from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization.block_weights import Weighting
from lightning_factorlens.factorization.evaluate import block_sse
from lightning_factorlens.factorization.hals import HALS
from lightning_factorlens.factorization.iterate import StageResult
from lightning_factorlens.factorization.monotone import enforce_monotone_
from lightning_factorlens.factorization.named_solvers import check_solver
from lightning_factorlens.factorization.normalize import normalize_rows_
from lightning_factorlens.factorization.objective import objective_of_errors, replace_by_zero_
from lightning_factorlens.factorization.penalty_pairs import check_signed_blocks
from lightning_factorlens.factorization.precision import full_precision
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.schedule import run_schedule
from lightning_factorlens.factorization.solver import Solver
from lightning_factorlens.factorization.state import SolverResult, Stage
from lightning_factorlens.factorization.streaming import StreamedProblem
from lightning_factorlens.results import Block, Factorization


def factorize(
    blocks: Sequence[Block],
    ranks: Sequence[int],
    *,
    solver: Solver | str | None = None,
    weighting: Weighting = "unit",
    start: Sequence[Tensor] | Literal["random"] | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> Factorization:
    """Fits X_b ≈ W_b F with one non-negative F for all blocks, at all ranks in one batch.

    Saini and Papalexakis (2018), "Characterizing & exploring deep CNN representations using factorization", eq. 1.

    Args:
        blocks: Matrices of the same samples.
        ranks: See `fit`.
        solver: See `fit`.
        weighting: See `CoupledProblem`.
        start: See `fit`.
        seed: See `fit`.
        device: Device of the computation, if it is not that of the blocks. The blocks stay where they are, and some
            thousand features at a time are copied, so that they need not fit into the device's memory.

    Returns:
        Factors and errors; the factors are on that device.

    Raises:
        ValueError: Blocks or options that `CoupledProblem` or `fit` refuses.
        TypeError: See `fit`.

    Example:
        >>> samples = torch.rand(8, 2, generator=torch.Generator().manual_seed(0)) @ torch.ones(2, 20)
        >>> result = factorize([Block("relu1", "activation", samples, (20,))], ranks=[1, 2])
        >>> [tuple(F.shape) for F in result.F]
        [(1, 8), (2, 8)]
    """
    problem = CoupledProblem(blocks, weighting) if device is None else StreamedProblem(blocks, weighting, device)
    return fit(problem, ranks, solver=solver, start=start, seed=seed)


def fit(
    problem: CoupledProblem,
    ranks: Sequence[int],
    *,
    solver: Solver | str | None = None,
    start: Sequence[Tensor] | Literal["random"] | None = None,
    seed: int = 0,
) -> Factorization:
    """Fits a problem that has been constructed before, see `factorize`.

    Args:
        problem: The blocks, their weights and their partition.
        ranks: Each at least 1; duplicates are removed.
        solver: `HALS()` unless given.
        start: The ``F`` of an earlier result with the same ranks and samples, from which the fit continues. It starts
            anew if the data have changed so much that this would end in a poor local minimum. ``"random"`` leaves
            NNDSVD out, so that all initializations are random, as many as the solver makes.
        seed: Seed of the random initializations; no global random state is read or changed.

    Returns:
        Factors and errors, with the W of all features in every process.

    Raises:
        ValueError: Ranks below 1, a ``start`` of another shape, or a solver whose schedule cannot be carried out.
        TypeError: A solver that is neither a name nor inherits from `Solver`.
    """
    ranks = checked_ranks(ranks)
    solver = check_solver(solver) or HALS()
    penalties = solver.penalties
    check_signed_blocks(any(block.signed for block in problem.blocks), penalties)
    with torch.no_grad(), full_precision():
        F = None if start is None else _checked_start(start, ranks, problem)
        stage, last = run_schedule(problem, ranks, solver, F, seed, use_nndsvd=start is None)
        state = None if stage.n_sampled_rows else last.state
        final = solver.finish(problem, last.groups, problem.partition.broadcast(last.F), state)
        sse = block_sse(problem, last.groups, final.F, final.W, final.sums)
        if penalties == (None, None):
            sse = enforce_monotone_(problem, last.groups, final.F, final.W, sse)
            normalize_rows_(final.F, final.W)
        value = objective_of_errors(problem, last.groups, final.F, final.W, sse, penalties)
        if penalties != (None, None):
            replace_by_zero_(problem, last.groups, final.F, final.W, sse, value)
        return _result(problem, ranks, stage, last, replace(final, objective=value), sse)


def make_problem(
    blocks: Sequence[Block], weighting: Weighting, partition: Partition, solver: Solver | str | None, warm: bool
) -> CoupledProblem:
    """Constructs the problem of a partition, divided between the processes if the solver iterates on a sample.

    A solver that iterates over all features would exchange sums in every iteration; then every process receives all
    features and computes the same fit.

    Args:
        blocks: This process's features of every block.
        weighting: See `CoupledProblem`.
        partition: The partition of the blocks.
        solver: The solver of the fit; `HALS()` if None.
        warm: Whether the fit will start from an earlier result.

    Returns:
        The problem, for `fit` with the same solver.

    Raises:
        ValueError: Blocks or options that `CoupledProblem` refuses.
        TypeError: A solver that is neither a name nor inherits from `Solver`.
    """
    solver = check_solver(solver) or HALS()
    problem = CoupledProblem(blocks, weighting, partition)
    iterates_on_sample = all(stage.n_sampled_rows for stage in solver.schedule(problem, warm))
    return problem if iterates_on_sample and problem.energy > 0 else problem.unshard()


def checked_ranks(ranks: Sequence[int]) -> tuple[int, ...]:
    """Returns the ranks in ascending order without duplicates.

    Args:
        ranks: One or more whole numbers.

    Raises:
        ValueError: No ranks, or one that is not a whole number of at least 1.

    Example:
        >>> checked_ranks([4, 1, 4])
        (1, 4)
    """
    listed = list(ranks) if isinstance(ranks, Iterable) else [ranks]
    if not listed or any(isinstance(r, bool) or not isinstance(r, int) or r < 1 for r in listed):
        raise ValueError(
            f"ranks: must be one or more whole numbers ≥ 1, found {ranks!r}; give a list such as [1, 2, 4, 8]."
        )
    return tuple(sorted(set(listed)))


def _checked_start(start: Sequence[Tensor] | str, ranks: tuple[int, ...], problem: CoupledProblem) -> Tensor | None:
    if isinstance(start, str):
        check_choice("start", start, ("random",))
        return None
    found = [tuple(F.shape) for F in start]
    expected = [(rank, problem.N) for rank in ranks]
    if found != expected:
        raise ValueError(
            f"start: found factors of shape {found}, the ranks and samples need {expected}; "
            "give the F of a result with the same ranks and samples, 'random', or None."
        )
    return torch.cat([F.to(problem.prototype) for F in start])


def _result(
    problem: CoupledProblem,
    ranks: tuple[int, ...],
    stage: Stage,
    last: StageResult,
    final: SolverResult,
    sse: Tensor,
) -> Factorization:
    """Returns the factorization in the blocks' own units.

    Args:
        problem: The problem with all feature rows.
        ranks: The ranks of the fit.
        stage: The last stage.
        last: Its result.
        final: The result of the last iteration; its W is scaled in place.
        sse: From `block_sse`, shape (ranks, blocks).
    """
    for columns, omega, unit in zip(problem.columns, problem.omega, problem.units):
        if unit == 1:
            final.W[:, columns] /= omega or 1.0
        else:  # ω itself may be out of the range of float32
            final.W[:, columns] = final.W[:, columns].double() / (omega * unit or 1.0)
    history = []
    for objectives, final_objective in zip(last.history, final.objective.tolist()):
        # The objectives of sampled stages are estimates and are not comparable with the final one.
        before = objectives if stage.n_sampled_rows is None else []
        history.append((*before, final_objective))
    W: list[list[Tensor]] = [[] for _ in ranks]
    for stacked in problem.partition.gather_factors([final.W[:, columns].T for columns in problem.columns]):
        for of_rank, factor in zip(W, last.groups.split(stacked.T)):
            of_rank.append(factor.T)
    status = "every rank converged"
    if not last.converged:
        status = (
            f"stopped after {stage.max_iter} iterations before every rank had converged; "
            f"raise `{stage.option_name}` of the solver for a smaller error"
        )
    return Factorization(
        ranks=ranks,
        F=tuple(map(torch.clone, last.groups.split(final.F))),
        W=tuple(map(tuple, W)),
        sse=sse,
        block_names=tuple(block.name for block in problem.blocks),
        weights=problem.weights,
        objective=tuple(final.objective.tolist()),
        history=tuple(history),
        n_iter=max(map(len, history)),
        status=status,
        shapes=tuple(block.shape for block in problem.blocks),
        kept_features=tuple(block.kept_features for block in problem.blocks),
    )

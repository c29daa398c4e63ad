"""The stages of a fit, one after the other, and the return to a fit without start where the data have changed much."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.factorization.iterate import StageResult, run_stage
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.solver import Solver
from lightning_factorlens.factorization.stages import (
    StageProblems,
    initial_factors,
    initialized_groups,
    replace_zero_components,
)
from lightning_factorlens.factorization.state import Stage

#: A fall of the objective, as a fraction of the energy, that is too small to be a reason to start anew.
NEGLIGIBLE_FALL = 1e-4


def run_schedule(
    problem: CoupledProblem,
    ranks: tuple[int, ...],
    solver: Solver,
    F: Tensor | None,
    seed: int,
    use_nndsvd: bool = True,
) -> tuple[Stage, StageResult]:
    """Iterates through the stages of a solver.

    Args:
        problem: The problem with all feature rows.
        ranks: The ranks, ascending.
        solver: The solver.
        F: The sample factors of an earlier result, shape (R, N), or None.
        seed: Seed of the random initializations.
        use_nndsvd: See `initial_factors`.

    Returns:
        The last stage and its result.

    Raises:
        ValueError: A schedule that cannot be carried out.
    """
    is_warm = F is not None
    stage_problem = StageProblems(problem, ranks, F)
    for position, stage in enumerate(_checked_schedule(solver, problem, is_warm)):
        part = stage_problem(stage)
        if F is None:
            F = initial_factors(part, stage_problem.vectors(part), ranks, stage.n_init, seed, use_nndsvd)
        elif position == 0 and solver.penalties == (None, None):
            F = replace_zero_components(part, F, seed)
        groups = initialized_groups(ranks, stage.n_init, use_nndsvd)
        last = run_stage(part, groups, F, solver, stage).best_initializations(stage.n_init)
        if is_warm and _has_to_start_anew(problem, stage, last):
            return run_schedule(problem, ranks, solver, None, seed)
        F = last.F
    return stage, last


def _has_to_start_anew(problem: CoupledProblem, stage: Stage, result: StageResult) -> bool:
    """Whether a stage lowered the objective of any group by more than the stage's limit, in all processes alike."""
    if stage.max_fall is None:
        return False
    is_exceeded = False
    for objectives in result.history:
        fall = objectives[0] - min(objectives)
        is_exceeded |= fall > max(stage.max_fall * objectives[0], NEGLIGIBLE_FALL)
    decision = torch.full_like(result.objective[:1], float(is_exceeded))
    return bool(problem.partition.broadcast(decision).item())


def _checked_schedule(solver: Solver, problem: CoupledProblem, warm: bool) -> list[Stage]:
    stages = solver.schedule(problem, warm)
    if not stages:
        raise ValueError(f"solver: the schedule of {solver!r} has no stage; return at least one.")
    for position, stage in enumerate(stages):
        if stage.n_init > 1 and (warm or position > 0):
            raise ValueError(
                f"solver: stage {position} of the schedule of {solver!r} has n_init={stage.n_init}; only the first "
                "stage of a fit without `start` may have several initializations. Return n_init=1 for it."
            )
    return stages

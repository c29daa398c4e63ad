"""The iterations of one stage: the best iterate of every group is kept, and converged groups are left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.factorization.cuda_graphs import GraphedStep
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.solver import Solver
from lightning_factorlens.factorization.state import Stage, State

#: A group has converged after so many iterations in a row below the tolerance.
PATIENCE = 2
#: Minimum of a stage's ``max_iter`` for which its step is recorded as a CUDA graph.
GRAPH_MIN_ITER = 30
#: Iterations between two convergence checks on an accelerator, where each check makes the host wait for the device.
CHECK_EVERY = 8

Step = Callable[[ComponentGroups, State], State]


@dataclass
class StageResult:
    """The result of one stage.

    Attributes:
        groups: The groups of components.
        F: The best iterate of every group, shape (R, N).
        objective: Its objective for each group, shape (groups,), float64.
        history: For each group the objective after every iteration.
        state: The last state, if it has every group; None if converged groups were left out. With penalties, the best
            iterate of every group with its W.
        converged: Whether every group converged.
    """

    groups: ComponentGroups
    F: Tensor
    objective: Tensor
    history: list[list[float]]
    state: State | None
    converged: bool

    def best_initializations(self, n_init: int) -> StageResult:
        """Returns the result with only the best initialization of each rank.

        Args:
            n_init: The largest number of initializations of a rank. Groups of one size are those of one rank.
        """
        if n_init == 1:
            return self
        keep: list[int] = []
        objective = self.objective.tolist()
        for k, size in enumerate(self.groups.sizes):
            if not keep or size != self.groups.sizes[keep[-1]]:
                keep.append(k)
            elif objective[k] < objective[keep[-1]]:
                keep[-1] = k
        index = self.groups.rows(keep).to(self.F.device)
        return StageResult(
            groups=self.groups.select(keep),
            F=self.F[index],
            objective=self.objective[keep],
            history=[self.history[k] for k in keep],
            state=None if self.state is None else self.state.select(self.groups, keep),
            converged=self.converged,
        )


class _Progress:
    """The best iterates and the objectives of a stage, and the groups that have not converged.

    Args:
        groups: All groups of the stage.
        state: The initial state.
        keep_W: Whether to keep the W of the best iterate as well, which with penalties does not follow from F.
    """

    def __init__(self, groups: ComponentGroups, state: State, keep_W: bool) -> None:
        self.groups = groups
        self.device = state.F.device
        self.best_F = state.F.clone()
        self.best_W = state.W.clone() if keep_W else None
        self.best = torch.full_like(state.objective, torch.inf)
        self.n_unchanged = torch.zeros_like(self.best, dtype=torch.long)
        self._objectives: list[Tensor] = []
        self._recorded_groups: list[list[int]] = []
        self._activate(list(range(len(groups))))

    def _activate(self, active: list[int]) -> None:
        self.active = active
        self.active_groups = self.groups.select(active)
        self._rows = self.groups.rows(active).to(self.device)
        self._index = torch.tensor(active, device=self.device)

    def record(self, previous: Tensor, state: State, tol: float) -> None:
        """Records a state of the active groups and the objective before it; nothing here waits for the device."""
        best = self.best[self._index]
        improved = state.objective <= best
        self.best[self._index] = torch.where(improved, state.objective, best)
        is_better_row = self.active_groups.expand(improved)
        self.best_F[self._rows] = torch.where(is_better_row, state.F, self.best_F[self._rows])
        if self.best_W is not None:
            self.best_W[self._rows] = torch.where(is_better_row, state.W, self.best_W[self._rows])
        self._objectives.append(state.objective)
        self._recorded_groups.append(self.active)
        unchanged = (previous - state.objective).abs() <= tol * state.objective
        self.n_unchanged = torch.where(unchanged, self.n_unchanged + 1, 0)

    def moving(self) -> list[int]:
        """Returns the positions, among the active groups, of those that have not converged."""
        return torch.nonzero(self.n_unchanged < PATIENCE).flatten().tolist()

    def keep(self, positions: Sequence[int]) -> None:
        """Leaves out all active groups but those at ``positions``."""
        self.n_unchanged = self.n_unchanged[list(positions)]
        self._activate([self.active[position] for position in positions])

    def history(self) -> list[list[float]]:
        """Returns for each group the objective after every iteration."""
        history: list[list[float]] = [[] for _ in self.groups.sizes]
        values = iter(torch.cat(self._objectives).tolist())
        for active in self._recorded_groups:
            for k in active:
                history[k].append(next(values))
        return history


def run_stage(problem: CoupledProblem, groups: ComponentGroups, F: Tensor, solver: Solver, stage: Stage) -> StageResult:
    """Iterates until every group has converged or the stage's maximum number of iterations is reached.

    Args:
        problem: The problem of the stage.
        groups: One group for each rank and initialization.
        F: The initial sample factors, shape (R, N).
        solver: The solver.
        stage: The stage.

    Returns:
        The best iterate of every group and the history of its objective.
    """
    on_cpu = problem.prototype.device.type == "cpu"
    state = solver.init(problem, groups, F)
    progress = _Progress(groups, state, keep_W=solver.penalties != (None, None))
    step = _step_function(problem, groups, solver, stage)
    moving = progress.active
    for n_iter in range(1, stage.max_iter + 1):
        previous = state.objective
        state = step(progress.active_groups, state)
        progress.record(previous, state, stage.tol)
        if not on_cpu and n_iter % CHECK_EVERY and n_iter < stage.max_iter:
            continue
        moving = progress.moving()
        if not moving:
            break
        if on_cpu and solver.can_freeze and len(moving) < len(progress.active):
            state = state.select(progress.active_groups, moving)
            progress.keep(moving)
    last_state = state if len(progress.active) == len(groups) else None
    if progress.best_W is not None:
        last_state = State(progress.best_F, progress.best_W, progress.best)
    return StageResult(
        groups=groups,
        F=progress.best_F,
        objective=progress.best,
        history=progress.history(),
        state=last_state,
        converged=not moving,
    )


def _step_function(problem: CoupledProblem, groups: ComponentGroups, solver: Solver, stage: Stage) -> Step:
    """Returns the solver's step, recorded as a CUDA graph where the stage is long enough."""
    if problem.prototype.device.type == "cuda" and stage.max_iter >= GRAPH_MIN_ITER:
        graphed = GraphedStep(solver, problem, groups)
        return lambda active_groups, state: graphed(state)
    return lambda active_groups, state: solver.step(problem, active_groups, state)

"""The iterations of a stage: the best iterates are kept, and converged groups are left out."""

import torch

from lightning_factorlens.factorization import ComponentGroups, CoupledProblem, Solver, Stage, State
from lightning_factorlens.factorization.iterate import PATIENCE, StageResult, run_stage


class Prescribed(Solver):
    """A solver whose objectives are given: for each component of F, the values of all iterations."""

    can_freeze = True

    def __init__(self, objectives):
        self.objectives = torch.tensor(objectives, dtype=torch.float64)
        self.sizes = []

    def init(self, problem, groups, F, W=None):
        number = torch.arange(len(groups))
        return State(F, problem.project(F), torch.full((len(groups),), torch.inf).double(), groups={"number": number})

    def step(self, problem, groups, state):
        i = len(self.sizes)
        self.sizes.append(len(groups))
        objective = self.objectives[state.groups["number"], i]
        return State(torch.full_like(state.F, float(i)), state.W, objective, groups=state.groups)


def run(planted, objectives, n_init=1, tol=0.1):
    problem = CoupledProblem(planted(sizes=(20,)))
    groups = ComponentGroups((1,) * len(objectives))
    F = torch.rand(len(objectives), problem.N, dtype=torch.float64)
    solver = Prescribed(objectives)
    return solver, run_stage(problem, groups, F, solver, Stage(None, n_init, len(objectives[0]), tol))


def test_the_best_iterate_of_each_group_is_kept(planted):
    _, result = run(planted, [[4.0, 2.0, 1.0], [4.0, 1.0, 9.0]], tol=0.0)
    assert result.objective.tolist() == [1.0, 1.0]
    assert result.F[:, 0].tolist() == [2.0, 1.0]
    assert result.history == [[4.0, 2.0, 1.0], [4.0, 1.0, 9.0]]
    assert not result.converged and result.state is not None


def test_converged_groups_are_left_out(planted):
    solver, result = run(planted, [[1.0] * 6, [64.0, 32.0, 16.0, 8.0, 4.0, 2.0]])
    n_steps = 1 + PATIENCE  # the first step has no earlier objective to compare with
    assert solver.sizes == [2] * n_steps + [1] * (6 - n_steps)
    assert result.history == [[1.0] * n_steps, [64.0, 32.0, 16.0, 8.0, 4.0, 2.0]]
    assert result.state is None and not result.converged


def test_a_stage_ends_when_every_group_has_converged(planted):
    solver, result = run(planted, [[1.0] * 6, [2.0] * 6])
    assert len(solver.sizes) == 1 + PATIENCE
    assert result.converged and result.state is not None


def test_the_best_initialization_of_each_rank_is_selected():
    groups = ComponentGroups((1, 1, 2, 2))
    F = torch.arange(6.0)[:, None]
    state = State(F.clone(), F.clone(), torch.tensor([3.0, 1.0, 5.0, 5.0]))
    history = [[3.0], [1.0], [5.0], [5.0]]
    result = StageResult(groups, F, torch.tensor([3.0, 1.0, 5.0, 5.0]), history, state, converged=True)
    best = result.best_initializations(2)
    assert best.groups.sizes == (1, 2)
    assert best.F.flatten().tolist() == [1.0, 2.0, 3.0]  # of equal objectives the first
    assert best.objective.tolist() == [1.0, 5.0] and best.history == [[1.0], [5.0]]
    assert best.state.F.flatten().tolist() == [1.0, 2.0, 3.0]
    assert result.best_initializations(1) is result


def test_a_rank_may_have_fewer_initializations_than_the_others():
    F = torch.arange(7.0)[:, None]
    result = StageResult(ComponentGroups((1, 1, 2, 3)), F, torch.tensor([3.0, 1.0, 5.0, 6.0]), [[]] * 4, None, True)
    best = result.best_initializations(2)
    assert best.groups.sizes == (1, 2, 3)
    assert best.F.flatten().tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]

"""Solvers that a user writes: with `init` and `step` alone they work from end to end; other objects are refused."""

from dataclasses import dataclass

import pytest
import torch

from lightning_factorlens.config import LensOptions
from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization import (
    HALS,
    L2,
    CoupledProblem,
    MultiplicativeUpdates,
    Solver,
    Stage,
    State,
    check_solver,
    factorize,
    fit,
    make_problem,
    objective,
)

RANKS = (1, 2, 4)


class ProjectedGradient(Solver):
    """One projected gradient step on W, then one on F, each with a step size of 1/‖Gram matrix‖."""

    def init(self, problem, groups, F, W=None):
        start = problem.project(F) if W is None else W
        return State(F, start.clamp_min(0), F.new_full((len(groups),), torch.inf, dtype=torch.float64))

    def step(self, problem, groups, state):
        F, B = state.F.clone(), problem.project(state.F)
        for f, w, b in zip(groups.split(F), groups.split(state.W), groups.split(B)):
            gram = f @ f.T
            w.sub_((gram @ w - b) / gram.norm()).clamp_(min=0)
        C, V = problem.backproject(state.W), groups.grams(state.W)
        for f, c, v in zip(groups.split(F), groups.split(C), V):
            f.sub_((v @ f - c) / v.norm()).clamp_(min=0)
        return State(F, state.W, objective(problem, groups, F, state.W, C, V, (self.penalty_W, self.penalty_F)))


class Oscillating(ProjectedGradient):
    """A solver whose last iterate is not its best one."""

    def schedule(self, problem, warm):
        return [Stage(None, n_init=1, max_iter=31, tol=0.0)]

    def step(self, problem, groups, state):
        self.n_iter = getattr(self, "n_iter", 0) + 1
        state = super().step(problem, groups, state)
        if self.n_iter == 31:
            return State(10 * state.F, state.W, state.objective + 1)
        return state


@dataclass(frozen=True)
class OnSampledRows(ProjectedGradient):
    """A solver with a schedule of its own, two initializations, and groups that are left out."""

    max_iter: int = 100

    @property
    def can_freeze(self):
        return True

    def schedule(self, problem, warm):
        return [Stage(64, n_init=1 if warm else 2, max_iter=10, tol=1e-3), Stage(128, 1, self.max_iter, 1e-3)]


def relative_errors(result, blocks):
    """From the factors themselves, for each rank."""
    errors = []
    for F, W in zip(result.F, result.W):
        sse = sum(float((block.samples.T - w @ F).square().sum()) for block, w in zip(blocks, W))
        errors.append((sse / sum(float(block.samples.square().sum()) for block in blocks)) ** 0.5)
    return errors


@pytest.mark.parametrize("make", [ProjectedGradient, Oscillating, OnSampledRows])
def test_a_solver_with_init_and_step_works_end_to_end(planted, make):
    blocks = planted(r=4, sizes=(200, 600), noise=0.3)
    result = factorize(blocks, RANKS, solver=make(), weighting="raw")
    best = relative_errors(factorize(blocks, RANKS, weighting="raw"), blocks)
    found = relative_errors(result, blocks)
    assert all(error < 1.2 * expected for error, expected in zip(found, best))
    assert found == pytest.approx(
        [float(sse.sum() / sum(b.samples.square().sum() for b in blocks)) ** 0.5 for sse in result.sse], rel=1e-5
    )
    assert all((w >= 0).all() for factors in result.W for w in factors)
    warm = factorize(blocks, RANKS, solver=make(), weighting="raw", start=result.F)
    assert all(error < 1.05 * before for error, before in zip(relative_errors(warm, blocks), found))


def test_the_defaults_are_one_initialization_over_all_rows_without_penalties(planted):
    problem = CoupledProblem(planted())
    solver = ProjectedGradient()
    (stage,) = solver.schedule(problem, warm=False)
    assert (stage.n_sampled_rows, stage.n_init) == (None, 1)
    assert stage.max_iter > 0 and stage.tol > 0
    assert solver.penalty_W is None and solver.penalty_F is None and not solver.can_freeze


def test_penalties_of_a_solver_enter_its_objective(planted):
    class Penalised(ProjectedGradient):
        penalty_F = L2(1.0)

    blocks = planted(noise=0.3)
    plain = fit(CoupledProblem(blocks), [2], solver=ProjectedGradient())
    penalised = fit(CoupledProblem(blocks), [2], solver=Penalised())
    assert penalised.objective[0] > plain.objective[0]


def test_a_schedule_that_cannot_be_carried_out_is_named(planted):
    class Stages(ProjectedGradient):
        def __init__(self, *stages):
            self.stages = stages

        def schedule(self, problem, warm):
            return list(self.stages)

    problem = CoupledProblem(planted())
    several = Stage(None, n_init=2, max_iter=2, tol=0.0)
    start = [torch.rand(2, problem.N, dtype=torch.float64)]
    with pytest.raises(ValueError, match="solver: the schedule of .* has no stage"):
        fit(problem, [2], solver=Stages())
    with pytest.raises(ValueError, match="solver: stage 1 of the schedule .* n_init=2"):
        fit(problem, [2], solver=Stages(several, several))
    with pytest.raises(ValueError, match="solver: stage 0 of the schedule .* n_init=2"):
        fit(problem, [2], solver=Stages(several), start=start)
    assert fit(problem, [2], solver=Stages(several)).ranks == (2,)


class StepAlone:
    def step(self, problem, groups, state):
        return state


class WithoutStep(Solver):
    def init(self, problem, groups, F, W=None):
        return State(F, problem.project(F), F.new_zeros(len(groups)))


@pytest.mark.parametrize(
    "wrong", [StepAlone(), 3, HALS, StepAlone], ids=["step alone", "number", "class", "class of one"]
)
def test_an_object_that_is_no_solver_is_refused_wherever_it_is_given(planted, wrong):
    blocks = planted()
    message = r"solver: found .*; give 'hals', 'mu', an object such as HALS\(\)(.|\n)*must inherit from .*Solver and define init and step"
    for construct in (
        lambda: LensOptions(solver=wrong),
        lambda: factorize(blocks, RANKS, solver=wrong),
        lambda: fit(CoupledProblem(blocks), RANKS, solver=wrong),
        lambda: make_problem(blocks, "unit", Partition(), wrong, warm=False),
        lambda: check_solver(wrong),
    ):
        with pytest.raises(TypeError, match=message):
            construct()


def test_a_solver_without_step_cannot_be_constructed():
    with pytest.raises(TypeError, match="abstract method.*step"):
        WithoutStep()


def test_solvers_have_names():
    assert LensOptions(solver="hals").solver == HALS()
    assert isinstance(check_solver("mu"), MultiplicativeUpdates)
    with pytest.raises(ValueError, match="solver: found 'als', allowed are 'hals', 'mu'"):
        LensOptions(solver="als")


def test_solvers_are_accepted_and_none_means_the_default():
    assert check_solver(None) is None
    for solver in (HALS(), MultiplicativeUpdates(), ProjectedGradient()):
        assert check_solver(solver) is solver
        assert LensOptions(solver=solver).solver is solver


@pytest.mark.parametrize("options", [{"max_iter": 0}, {"n_init": 0}, {"n_sampled_rows": -1}, {"momentum": 1.0}])
def test_an_option_out_of_range_is_named(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name}: must"):
        HALS(**options)
    if name == "max_iter":
        with pytest.raises(ValueError, match="^max_iter: must"):
            MultiplicativeUpdates(**options)

"""The objective during a fit, with and without penalties."""

import pytest
import torch
from factorization_checks import relative_errors

from lightning_factorlens.factorization import (
    HALS,
    L1,
    L2,
    ComponentGroups,
    CoupledProblem,
    GroupLasso,
    MultiplicativeUpdates,
    factorize,
)
from lightning_factorlens.results import Block

SOLVERS = [HALS(), HALS(momentum=0.0), HALS(n_sampled_rows=64, n_final_iter=3), MultiplicativeUpdates()]


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize(
    "penalties", [(None, None), (L2(0.01), L2(0.1)), (L1(0.01), L1(0.1)), (None, L2(1.0)), (L2(0.1), GroupLasso(0.5))]
)
def test_the_objective_never_rises(planted, solver, penalties):
    solver = type(solver)(**{**vars(solver), "penalty_W": penalties[0], "penalty_F": penalties[1]})
    problem = CoupledProblem(planted(noise=0.5), "unit")
    groups = ComponentGroups((2, 5))
    F = torch.rand(7, problem.N, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    state, values = solver.init(problem, groups, F), []
    for _ in range(60):
        state = solver.step(problem, groups, state)
        values.append(state.objective)
    values = torch.stack(values)
    if getattr(solver, "momentum", 0.0) == 0:
        assert (values.diff(dim=0) <= 1e-12).all()
    else:  # a step ahead may overshoot: it is taken back, and what is kept never rises
        result = factorize(planted(noise=0.5), (2, 5), solver=solver)
        assert result.objective == tuple(map(min, result.history))
    assert (values[-1] < values[0]).all()


@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
@pytest.mark.parametrize("solver", [MultiplicativeUpdates(max_iter=15), HALS(n_init=1)], ids=repr)
def test_the_returned_objective_is_that_of_the_returned_factors(planted, stacked, solver, scale):
    """On data of nearly low rank, where larger ranks are repaired after the fit."""
    blocks = planted(r=3, sizes=(30, 60), noise=0.01, dtype=torch.float32, scales=(scale, scale))
    result = factorize(blocks, (2, 3, 4, 5, 6), solver=solver)
    errors = relative_errors(result, blocks, stacked)
    squares = [error**2 for error in errors]
    assert result.objective == pytest.approx(squares, rel=1e-4, abs=1e-12)
    assert [values[-1] for values in result.history] == list(result.objective)


def test_the_returned_objective_of_data_of_zeros_is_zero():
    result = factorize([Block("dead", "activation", torch.zeros(4, 6), (6,))], (1, 2))
    assert result.objective == (0.0, 0.0)

"""Steps as CUDA graphs."""

import torch
from factorization_checks import needs_cuda, on_device, use_nnls_solver

from lightning_factorlens.factorization import (
    HALS,
    ComponentGroups,
    CoupledProblem,
    full_precision,
)
from lightning_factorlens.factorization.cuda_graphs import GraphedCallable, GraphedStep, flatten_state, unflatten_state
from lightning_factorlens.linalg.nnls_dispatch import make_nnls_solver


def test_unflattening_a_flattened_state_restores_it(planted):
    problem, groups, solver = CoupledProblem(planted(noise=0.3)), ComponentGroups((2, 3)), HALS()
    F = torch.rand(5, problem.N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = solver.step(problem, groups, solver.init(problem, groups, F))
    again = unflatten_state(flatten_state(plain), plain)
    assert (again.rows.keys(), again.groups.keys()) == (plain.rows.keys(), plain.groups.keys())
    graphed_step = GraphedStep(solver, problem, groups)
    graphed = unflatten_state([t.clone() for t in flatten_state(again)], again)
    for _ in range(5):
        plain = solver.step(problem, groups, plain)
        graphed = graphed_step(graphed)
    assert all(torch.equal(a, b) for a, b in zip(flatten_state(plain), flatten_state(graphed)))


@needs_cuda
def test_a_graphed_function_returns_what_the_function_returns():
    state = torch.cuda.get_rng_state()
    graphed = GraphedCallable(lambda a, b: [a @ b, a.mul_(2).sum(0)])
    for n in (3, 3, 5):  # a graph is recorded for each shape
        a, b = torch.rand(n, 4).cuda(), torch.rand(4, n).cuda()
        first = graphed(a, b)
        graphed(a + 1, b)
        assert torch.allclose(first[0], a @ b) and torch.allclose(first[1], 2 * a.sum(0))
    assert not graphed.fallback_reason
    synchronizing = GraphedCallable(lambda a: [a * float(a.sum())])
    assert torch.allclose(synchronizing(a)[0], a * a.sum()) and synchronizing.fallback_reason
    assert torch.equal(torch.cuda.get_rng_state(), torch.cuda.get_rng_state()) and state.numel()
    assert torch.allclose(torch.ones(3).cuda() * 2, torch.full((3,), 2.0).cuda())  # the device is still usable


@needs_cuda
def test_graphed_steps_equal_the_solvers_steps(planted, monkeypatch):
    use_nnls_solver(monkeypatch, make_nnls_solver)
    problem = CoupledProblem(
        on_device(planted(r=8, sizes=(200, 300), N=64, noise=0.5, dtype=torch.float32), torch.Tensor.cuda)
    )
    solver, groups = HALS(), ComponentGroups((1, 2, 2, 8))
    with torch.no_grad(), full_precision():
        plain = solver.step(problem, groups, solver.init(problem, groups, torch.rand(13, 64).cuda()))
        graphed = unflatten_state([t.clone() for t in flatten_state(plain)], plain)
        graphed_step = GraphedStep(solver, problem, groups)
        for _ in range(10):
            plain = solver.step(problem, groups, plain)
            graphed = graphed_step(graphed)
    assert not graphed_step.graphed.fallback_reason
    assert torch.allclose(plain.objective, graphed.objective, rtol=1e-4)

"""The fit away from the CPU: on a pretended accelerator here, on CUDA where there is one."""

import pytest
import torch
from fake_device import FakeDeviceTensor, fake_device, to_fake_device

from lightning_factorlens.factorization import (
    HALS,
    CoupledProblem,
    MultiplicativeUpdates,
    factor_update,
    factorize,
    full_precision,
    hals,
)
from lightning_factorlens.factorization.cuda_graphs import GraphedCallable, GraphedStep, flatten_state, unflatten_state
from lightning_factorlens.factorization.evaluate import block_sse
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.linalg.nnls_admm import ADMM
from lightning_factorlens.linalg.nnls_dispatch import CoordinateDescent, make_nnls_solver
from lightning_factorlens.metrics.rank_curve import BlockGroups
from lightning_factorlens.results import Block

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
RANKS = (1, 2, 4, 8)
QUICK = HALS(n_sampled_rows=512, n_init=2, max_iter=30, screening_iter=4)


def moved(blocks, to):
    return [Block(b.name, b.kind, to(b.samples), b.shape, b.signed) for b in blocks]


def relative(result, problem):
    return (result.sse.sum(1) / sum(problem.block_energy)).sqrt()


@pytest.fixture
def through(monkeypatch):
    """Puts an inner solver of one's choice into HALS."""

    def use(make):
        for module in (hals, factor_update):
            monkeypatch.setattr(module, "make_nnls_solver", lambda sizes, G, prox_=None: make(sizes, G))

    return use


@pytest.mark.parametrize("make", [ADMM, CoordinateDescent])
def test_a_fit_through_another_inner_solver_is_as_good(planted, through, make):
    blocks = planted(r=8, sizes=(200, 3000, 900), N=64, noise=0.5, dtype=torch.float32)
    expected = factorize(blocks, RANKS, solver=QUICK)
    through(make)
    found = factorize(blocks, RANKS, solver=QUICK)
    assert (found.sse.sum(1) / expected.sse.sum(1)).log().mean() < 0.01  # single ranks find other minima
    again = factorize(blocks, RANKS, solver=QUICK, start=found.F)
    assert (again.sse.sum(1) <= found.sse.sum(1) * (1 + 1e-3)).all()


@pytest.mark.parametrize(
    "solver", [QUICK, HALS(n_sampled_rows=0, n_init=1, max_iter=10), MultiplicativeUpdates(max_iter=10)], ids=repr
)
@pytest.mark.parametrize("signed", [False, True])
def test_nothing_mixes_devices(planted, through, solver, signed):
    """Where it did, this would fail as on CUDA; errors come out as on the CPU, to what another summation changes."""
    blocks = planted(r=8, sizes=(60, 1100, 100), N=40, noise=0.5, dtype=torch.float32)
    if signed:
        blocks[2] = Block("signed", "activation", blocks[2].samples - 1, (100,), signed=True)
    through(make_nnls_solver)
    expected = factorize(blocks, RANKS, solver=solver)
    with fake_device():
        problem = CoupledProblem(moved(blocks, to_fake_device))
        found = factorize(problem.blocks, RANKS, solver=solver)
        assert all(isinstance(t, FakeDeviceTensor) for t in (*found.F, *(w for ws in found.W for w in ws)))
        warm = factorize(problem.blocks, RANKS, solver=solver, start=found.F)
        scopes = BlockGroups(problem)
        floors = scopes.svd_curves(scopes.curves(found))
    assert found.sse.device.type == "cpu"
    assert (found.sse.sum(1) <= 1.03 * expected.sse.sum(1)).all()
    assert (warm.sse.sum(1) <= found.sse.sum(1) * (1 + 1e-3)).all()
    assert all(f <= e * (1 + 1e-5) for f, e in zip(floors["total"].rel_error, scopes.curves(found)["total"].rel_error))


def test_a_pass_never_waits_for_the_device(planted, through):
    """What a CUDA graph can record: no wait between one state and the next."""
    through(ADMM)
    blocks = planted(r=8, sizes=(200, 300), N=64, noise=0.5, dtype=torch.float32)
    solver, groups = HALS(), ComponentGroups((1, 2, 2, 8))
    with fake_device() as record, torch.no_grad():
        problem = CoupledProblem(moved(blocks, to_fake_device))
        state = solver.init(problem, groups, to_fake_device(torch.rand(13, 64)))
        state = solver.step(problem, groups, solver.step(problem, groups, state))
        record.synchronizations.clear()
        solver.step(problem, groups, state)
    assert not record.synchronizations


@pytest.mark.parametrize("sizes", [(1, 2, 2, 8), (3,), (4, 4)])
def test_gram_matrices_are_the_same_elsewhere(sizes):
    groups, T = ComponentGroups(sizes), torch.rand(sum(sizes), 20, dtype=torch.float64)
    here = groups.grams(T)
    with fake_device():
        there = groups.grams(to_fake_device(T))
        values = (
            groups.quadratic_form(there, to_fake_device(T)).cpu(),
            groups.expand(to_fake_device(T[: len(sizes), 0])).cpu(),
        )
    assert all(torch.allclose(a, b.values) for a, b in zip(here, there))
    assert torch.allclose(groups.quadratic_form(here, T), values[0])
    assert torch.allclose(values[0].sum(), sum(g.square().sum() for g in here))  # ⟨T Tᵀ T, T⟩ = ‖T Tᵀ‖²
    assert torch.equal(groups.expand(T[: len(sizes), 0]), values[1])


def test_a_state_survives_being_flattened(planted):
    problem, groups, solver = CoupledProblem(planted(noise=0.3)), ComponentGroups((2, 3)), HALS()
    F = torch.rand(5, problem.N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = solver.step(problem, groups, solver.init(problem, groups, F))
    again = unflatten_state(flatten_state(plain), plain)
    assert (again.rows.keys(), again.groups.keys()) == (plain.rows.keys(), plain.groups.keys())
    steps, there = (
        GraphedStep(solver, problem, groups),
        unflatten_state([t.clone() for t in flatten_state(again)], again),
    )
    for _ in range(5):
        plain, there = solver.step(problem, groups, plain), steps(there)
    assert all(torch.equal(a, b) for a, b in zip(flatten_state(plain), flatten_state(there)))


@needs_cuda
def test_a_replayed_call_is_the_call():
    state = torch.cuda.get_rng_state()
    replayed = GraphedCallable(lambda a, b: [a @ b, a.mul_(2).sum(0)])
    for n in (3, 3, 5):  # another shape is recorded anew
        a, b = torch.rand(n, 4).cuda(), torch.rand(4, n).cuda()
        kept = replayed(a, b)
        replayed(a + 1, b)
        assert torch.allclose(kept[0], a @ b) and torch.allclose(kept[1], 2 * a.sum(0))
    assert not replayed.fallback_reason
    waits = GraphedCallable(lambda a: [a * float(a.sum())])
    assert torch.allclose(waits(a)[0], a * a.sum()) and waits.fallback_reason
    assert torch.equal(torch.cuda.get_rng_state(), torch.cuda.get_rng_state()) and state.numel()
    assert torch.allclose(torch.ones(3).cuda() * 2, torch.full((3,), 2.0).cuda())  # the device is usable after all that


@needs_cuda
def test_replayed_steps_are_the_steps(planted, through):
    through(make_nnls_solver)
    problem = CoupledProblem(
        moved(planted(r=8, sizes=(200, 300), N=64, noise=0.5, dtype=torch.float32), torch.Tensor.cuda)
    )
    solver, groups = HALS(), ComponentGroups((1, 2, 2, 8))
    with torch.no_grad(), full_precision():
        plain = there = solver.step(problem, groups, solver.init(problem, groups, torch.rand(13, 64).cuda()))
        there = unflatten_state([t.clone() for t in flatten_state(there)], there)
        steps = GraphedStep(solver, problem, groups)
        for _ in range(10):
            plain, there = solver.step(problem, groups, plain), steps(there)
    assert not steps.graphed.fallback_reason
    assert torch.allclose(plain.objective, there.objective, rtol=1e-4)


@needs_cuda
def test_on_cuda_as_on_the_cpu(planted, through):
    through(make_nnls_solver)
    blocks = planted(r=8, sizes=(200, 3000, 900), N=64, noise=0.5, dtype=torch.float32)
    here, there = CoupledProblem(blocks), CoupledProblem(moved(blocks, torch.Tensor.cuda))
    found = factorize(there.blocks, RANKS, solver=QUICK)
    assert (relative(found, there) <= 1.005 * relative(factorize(blocks, RANKS, solver=QUICK), here)).all()
    groups = ComponentGroups(found.ranks)
    F = torch.cat(found.F)
    W = torch.cat([torch.cat([w.T * o for w, o in zip(ws, there.omega)], 1) for ws in found.W])
    with full_precision():
        sse = [block_sse(p, groups, F.to(p.prototype), W.to(p.prototype)).sum(1).sqrt() for p in (here, there)]
    assert torch.allclose(*sse, rtol=1e-5)

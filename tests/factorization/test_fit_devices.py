"""Fits on an accelerator: on a fake device everywhere, on CUDA where it is available."""

import pytest
import torch
from factorization_checks import needs_cuda, on_device, use_nnls_solver
from fake_device import FakeDeviceTensor, fake_device, to_fake_device

from lightning_factorlens.factorization import (
    HALS,
    ComponentGroups,
    CoupledProblem,
    MultiplicativeUpdates,
    factorize,
    full_precision,
)
from lightning_factorlens.factorization.evaluate import block_sse
from lightning_factorlens.linalg.nnls_admm import ADMM
from lightning_factorlens.linalg.nnls_dispatch import CoordinateDescent, make_nnls_solver
from lightning_factorlens.metrics.rank_curve import BlockGroups
from lightning_factorlens.results import Block

RANKS = (1, 2, 4, 8)
QUICK = HALS(n_sampled_rows=512, n_init=2, max_iter=30, screening_iter=4)


def relative_error(result, problem):
    return (result.sse.sum(1) / sum(problem.block_energy)).sqrt()


@pytest.mark.parametrize("make", [ADMM, CoordinateDescent])
def test_a_fit_with_another_nnls_solver_has_as_small_errors(planted, monkeypatch, make):
    blocks = planted(r=8, sizes=(200, 3000, 900), N=64, noise=0.5, dtype=torch.float32)
    expected = factorize(blocks, RANKS, solver=QUICK)
    use_nnls_solver(monkeypatch, make)
    found = factorize(blocks, RANKS, solver=QUICK)
    assert (found.sse.sum(1) / expected.sse.sum(1)).log().mean() < 0.01  # single ranks find other minima
    again = factorize(blocks, RANKS, solver=QUICK, start=found.F)
    assert (again.sse.sum(1) <= found.sse.sum(1) * (1 + 1e-3)).all()


@pytest.mark.parametrize(
    "solver", [QUICK, HALS(n_sampled_rows=0, n_init=1, max_iter=10), MultiplicativeUpdates(max_iter=10)], ids=repr
)
@pytest.mark.parametrize("signed", [False, True])
def test_no_operation_mixes_devices(planted, monkeypatch, solver, signed):
    """An operation that did would fail as on CUDA. Errors may differ from the CPU's by the order of summation."""
    blocks = planted(r=8, sizes=(60, 1100, 100), N=40, noise=0.5, dtype=torch.float32)
    if signed:
        blocks[2] = Block("signed", "activation", blocks[2].samples - 1, (100,), signed=True)
    use_nnls_solver(monkeypatch, make_nnls_solver)
    expected = factorize(blocks, RANKS, solver=solver)
    with fake_device():
        problem = CoupledProblem(on_device(blocks, to_fake_device))
        found = factorize(problem.blocks, RANKS, solver=solver)
        assert all(isinstance(t, FakeDeviceTensor) for t in (*found.F, *(w for ws in found.W for w in ws)))
        warm = factorize(problem.blocks, RANKS, solver=solver, start=found.F)
        block_groups = BlockGroups(problem)
        curves = block_groups.curves(found)
        svd_curves = block_groups.svd_curves(curves)
    assert found.sse.device.type == "cpu"
    assert (found.sse.sum(1) <= 1.03 * expected.sse.sum(1)).all()
    assert (warm.sse.sum(1) <= found.sse.sum(1) * (1 + 1e-3)).all()
    bounds = zip(svd_curves["total"].rel_error, curves["total"].rel_error)
    assert all(svd_error <= error * (1 + 1e-5) for svd_error, error in bounds)


def test_an_iteration_never_waits_for_the_device(planted, monkeypatch):
    """A CUDA graph can record only an iteration in which the host does not wait."""
    use_nnls_solver(monkeypatch, ADMM)
    blocks = planted(r=8, sizes=(200, 300), N=64, noise=0.5, dtype=torch.float32)
    solver, groups = HALS(), ComponentGroups((1, 2, 2, 8))
    with fake_device() as record, torch.no_grad():
        problem = CoupledProblem(on_device(blocks, to_fake_device))
        state = solver.init(problem, groups, to_fake_device(torch.rand(13, 64)))
        state = solver.step(problem, groups, solver.step(problem, groups, state))
        record.synchronizations.clear()
        solver.step(problem, groups, state)
    assert not record.synchronizations


@needs_cuda
def test_errors_on_cuda_are_those_on_the_cpu(planted, monkeypatch):
    use_nnls_solver(monkeypatch, make_nnls_solver)
    blocks = planted(r=8, sizes=(200, 3000, 900), N=64, noise=0.5, dtype=torch.float32)
    on_cpu = CoupledProblem(blocks)
    on_cuda = CoupledProblem(on_device(blocks, torch.Tensor.cuda))
    expected = factorize(blocks, RANKS, solver=QUICK)
    found = factorize(on_cuda.blocks, RANKS, solver=QUICK)
    assert (relative_error(found, on_cuda) <= 1.005 * relative_error(expected, on_cpu)).all()
    groups = ComponentGroups(found.ranks)
    F = torch.cat(found.F)
    W = torch.cat([torch.cat([w.T * o for w, o in zip(factors, on_cuda.omega)], 1) for factors in found.W])
    with full_precision():
        problems = (on_cpu, on_cuda)
        sse = [block_sse(p, groups, F.to(p.prototype), W.to(p.prototype)).sum(1).sqrt() for p in problems]
    assert torch.allclose(*sse, rtol=1e-5)

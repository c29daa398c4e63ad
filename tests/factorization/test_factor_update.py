"""Updates of W for a fixed F."""

import pytest
import torch

from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization import L2, ComponentGroups, CoupledProblem
from lightning_factorlens.factorization.factor_update import fit_W, update_W_
from lightning_factorlens.results import Block

GROUPS = ComponentGroups((2, 3))


def setup(planted, chunk_size=8192):
    blocks = planted(r=4, sizes=(30, 200), noise=0.3)
    signed = Block("signed", "activation", blocks[1].samples - 0.5, (200,), signed=True)
    problem = CoupledProblem([blocks[0], signed], partition=Partition(chunk_size))
    F = torch.rand(5, problem.N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return problem, F


@pytest.mark.parametrize("penalty", [None, L2(0.1)])
def test_signed_columns_are_the_exact_solution_and_the_others_are_non_negative(planted, penalty):
    problem, F = setup(planted)
    W = fit_W(problem, GROUPS, F, penalty)
    B = problem.project(F)
    non_negative, signed = problem.columns
    assert (W[:, non_negative] >= 0).all()
    ridge = 0.0 if penalty is None else penalty.weight
    for f, w, b in zip(GROUPS.split(F), GROUPS.split(W), GROUPS.split(B)):
        exact = torch.linalg.solve(f @ f.T + ridge * torch.eye(len(f)), b[:, signed])
        torch.testing.assert_close(w[:, signed], exact, rtol=1e-3, atol=1e-6)


def test_a_fit_does_not_depend_on_the_chunks(planted):
    problem, F = setup(planted)
    other, _ = setup(planted, chunk_size=7)
    torch.testing.assert_close(fit_W(other, GROUPS, F), fit_W(problem, GROUPS, F), rtol=1e-9, atol=1e-12)


def test_an_update_never_raises_the_objective(planted):
    problem, F = setup(planted)
    B, grams = problem.project(F), GROUPS.grams(F)
    W = torch.rand(5, problem.m, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    before = (GROUPS.quadratic_form(grams, W) - 2 * (B * W).sum(1)).sum()
    update_W_(GROUPS, W, B, grams, problem.signed_columns(), sweeps=1)
    assert (GROUPS.quadratic_form(grams, W) - 2 * (B * W).sum(1)).sum() < before

"""Fits that continue from an earlier result, against fits without one on the same data."""

import pytest
import torch

from lightning_factorlens.factorization import HALS, CoupledProblem, factorize
from lightning_factorlens.factorization.schedule import run_schedule
from lightning_factorlens.results import Block

RANKS = (1, 2, 4, 8, 16, 32)
GENERATOR = torch.Generator().manual_seed(0)


def low_rank(rank, noise=0.0):
    product = torch.rand(64, rank, generator=GENERATOR) @ torch.rand(rank, 400, generator=GENERATOR)
    return product + noise * torch.rand(64, 400, generator=GENERATOR)


def relu():
    return torch.randn(64, 400, generator=GENERATOR).relu()


CHANGES = {
    "rank 1, then full rank": (low_rank(1), torch.rand(64, 400, generator=GENERATOR)),
    "constant, then ReLU": (torch.ones(64, 400), relu()),
    "zero, then ReLU": (torch.zeros(64, 400), relu()),
    "rank 3, then sparse": (low_rank(3), relu() * (torch.rand(64, 400, generator=GENERATOR) < 0.05)),
    "one-hot, then ReLU": (torch.eye(64).repeat(1, 2), relu()),
    "other data of low rank": (low_rank(8), low_rank(12, noise=0.1)),
}


def block(samples, scale=1.0):
    return Block("a", "activation", samples * scale, (samples.shape[1],))


@pytest.mark.parametrize(
    "scale", [pytest.param(1e-15, marks=pytest.mark.slow), 1.0, pytest.param(1e15, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("n_warm", [1, 3])
@pytest.mark.parametrize("change", list(CHANGES))
def test_after_a_large_change_a_warm_fit_is_as_good_as_a_cold_one(change, n_warm, scale):
    before, after = CHANGES[change]
    F = factorize([block(before, scale)], RANKS).F
    for _ in range(n_warm):
        warm = factorize([block(after, scale)], RANKS, start=F)
        F = warm.F
    cold = factorize([block(after, scale)], RANKS)
    assert (warm.sse.sqrt() <= 1.01 * cold.sse.sqrt()).all()


def test_after_a_small_change_a_fit_continues_from_its_start(planted):
    blocks = planted(r=12, noise=0.5, dtype=torch.float32)
    problem = CoupledProblem(blocks)
    start = torch.cat(factorize(blocks, (2, 4)).F)
    stage, _ = run_schedule(problem, (2, 4), HALS(), start, 0)
    assert stage.option_name == "warm_max_iter"


def test_components_of_zero_are_replaced_and_used(planted):
    blocks = planted(r=8, noise=0.5, dtype=torch.float32)
    cold = factorize(blocks, (8,))
    start = cold.F[0].clone()
    start[5:] = 0
    warm = factorize(blocks, (8,), start=[start])
    assert (warm.F[0].norm(dim=1) > 0).all()
    assert (warm.W[0][1].norm(dim=0) > 0).all()
    assert float(warm.sse.sum()) <= 1.02 * float(cold.sse.sum())

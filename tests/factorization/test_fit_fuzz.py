"""Random shapes, scales and degenerate inputs: factors are finite and non-negative, errors below the data's norm."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightning_factorlens.factorization import HALS, MultiplicativeUpdates, factorize
from lightning_factorlens.results import Block

KINDS = ("random", "zero", "constant", "duplicate images", "sparse", "low rank", "one spike", "dead rows", "wide range")


def matrix(kind, N, m, scale, generator, dtype):
    X = torch.rand(N, m, generator=generator, dtype=torch.float64)
    if kind == "zero":
        X.zero_()
    elif kind == "constant":
        X.fill_(1.0)
    elif kind == "duplicate images":
        X = X[:1].expand(N, m)
    elif kind == "sparse":
        X = X * (torch.rand(N, m, generator=generator) < 0.05)
    elif kind == "low rank":
        X = X[:, :1] * torch.rand(1, m, generator=generator, dtype=torch.float64)
    elif kind == "one spike":
        X = torch.zeros_like(X)
        X[N // 2, m // 2] = 1.0
    elif kind == "dead rows":
        X = X * (torch.arange(m) % 3 == 0)
    elif kind == "wide range":
        X = X * 10 ** (6 * torch.rand(1, m, generator=generator, dtype=torch.float64) - 3)
    return (X * scale).to(dtype).contiguous()


@st.composite
def problems(draw):
    N = draw(st.integers(1, 40))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    blocks = []
    for i in range(draw(st.integers(1, 3))):
        m, exponent = draw(st.integers(1, 60)), draw(st.integers(-15, 15))
        X = matrix(draw(st.sampled_from(KINDS)), N, m, 10.0**exponent, generator, dtype)
        signed = draw(st.booleans()) and draw(st.booleans())
        if signed:
            X = X - X.mean()
        blocks.append(Block(f"b{i}", "activation", X, (m,), signed, draw(st.sampled_from([1.0, 7.5]))))
    ranks = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    quick = {"screening_iter": 3, "max_iter": 10}
    solver = draw(
        st.sampled_from(
            [
                HALS(**quick),
                HALS(n_sampled_rows=8, **quick),
                HALS(momentum=0.0, **quick),
                MultiplicativeUpdates(max_iter=10),
            ]
        )
    )
    return blocks, ranks, solver, draw(st.sampled_from(["unit", "raw"]))


def check(problem):
    blocks, ranks, solver, weighting = problem
    result = factorize(blocks, ranks, solver=solver, weighting=weighting)
    again = factorize(blocks, ranks, solver=solver, weighting=weighting, start=result.F)
    for r in (result, again):
        energy = [float(b.samples.double().square().sum()) for b in blocks]
        assert torch.isfinite(r.sse).all()
        assert (r.sse >= 0).all()
        whole = math.fsum(w * w * b.sampling_factor * e for w, b, e in zip(r.weights, blocks, energy))
        weights = torch.tensor([w * w * b.sampling_factor for w, b in zip(r.weights, blocks)], dtype=torch.float64)
        total = (r.sse * weights).sum(1)
        assert (total <= whole * (1 + 1e-4)).all()
        if not any(b.signed for b in blocks):
            assert (total.diff() <= 1e-5 * whole).all()
        assert all(torch.isfinite(f).all() and (f >= 0).all() for f in r.F)
        for factors in r.W:
            for w, block in zip(factors, blocks):
                assert torch.isfinite(w).all()
                assert block.signed or (w >= 0).all()


FUZZ = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


@pytest.mark.slow
@settings(max_examples=150, **FUZZ)
@given(problems())
def test_random_problems_give_finite_factors_and_errors_below_the_norm(problem):
    check(problem)


@pytest.mark.slow
@settings(max_examples=4000, **FUZZ)
@given(problems())
def test_thousands_of_random_problems_do(problem):
    check(problem)

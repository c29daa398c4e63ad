"""Fits against closed forms, planted factors, scikit-learn and the SVD."""

import numpy as np
import pytest
import torch
from factorization_checks import relative_errors

from lightning_factorlens.factorization import (
    HALS,
    L2,
    MultiplicativeUpdates,
    factorize,
)
from lightning_factorlens.results import Block

SOLVERS = [HALS(), HALS(momentum=0.0), HALS(n_sampled_rows=64, n_final_iter=3), MultiplicativeUpdates()]
RANKS = (1, 2, 3, 4, 8)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reported_errors_are_those_of_the_factors(planted, stacked, solver, dtype):
    blocks = planted(noise=0.2, dtype=dtype, scales=(1.0, 30.0, 0.1))
    result = factorize(blocks, RANKS, solver=solver)
    energy = stacked(blocks, result.weights).square().sum()
    reported = [float(((row * torch.tensor(result.weights).double() ** 2).sum() / energy).sqrt()) for row in result.sse]
    assert reported == pytest.approx(relative_errors(result, blocks, stacked), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_rank_one_is_the_rank_one_svd_and_no_error_is_below_the_svd(planted, stacked, solver):
    blocks = planted(r=12, sizes=(40, 300), noise=0.5)
    result = factorize(blocks, RANKS, solver=solver)
    sigma = torch.linalg.svdvals(stacked(blocks, result.weights))
    floor = [float((sigma[r:].square().sum() / sigma.square().sum()).sqrt()) for r in RANKS]
    errors = relative_errors(result, blocks, stacked)
    assert errors[0] == pytest.approx(floor[0], rel=1e-6)
    assert all(e >= f * (1 - 1e-9) for e, f in zip(errors, floor))
    assert all(a >= b for a, b in zip(errors, errors[1:]))


@pytest.mark.parametrize("weighting", ["unit", "raw"])
def test_planted_factors_are_recovered(planted, stacked, weighting):
    blocks = planted(r=3, sizes=(50, 300), N=100, scales=(1.0, 1.0))
    result = factorize(blocks, [3], solver=HALS(max_iter=2000, sample_tol=1e-12), weighting=weighting)
    assert relative_errors(result, blocks, stacked)[0] < 1e-4
    g = torch.Generator().manual_seed(0)
    truth = torch.rand(3, 100, generator=g, dtype=torch.float64) * (torch.rand(3, 100, generator=g) < 0.5)
    cosine = torch.nn.functional.normalize(truth, dim=1) @ torch.nn.functional.normalize(result.F[0], dim=1).T
    assert cosine.max(1).values.min() > 0.999


def test_errors_are_as_small_as_those_of_scikit_learn(planted, stacked):
    from sklearn.decomposition import NMF

    blocks = planted(r=10, sizes=(64, 3000, 2500), N=128, noise=0.5, dtype=torch.float32)
    result = factorize(blocks, (4, 16), solver=HALS(n_sampled_rows=1024))
    X = stacked(blocks, result.weights).numpy()
    for rank, ours in zip(result.ranks, relative_errors(result, blocks, stacked)):
        theirs = NMF(rank, init="nndsvda", max_iter=1000, tol=1e-4).fit(X).reconstruction_err_ / np.linalg.norm(X)
        assert ours < 1.01 * theirs


@pytest.mark.parametrize("solver", [HALS(), MultiplicativeUpdates()], ids=repr)
def test_permuting_samples_permutes_f(planted, solver):
    blocks = planted(noise=0.3)
    order = torch.randperm(blocks[0].samples.shape[0], generator=torch.Generator().manual_seed(3))
    shuffled = [Block(b.name, b.kind, b.samples[order], b.shape) for b in blocks]
    start = torch.rand(4, len(order), dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    a = factorize(blocks, [4], solver=solver, start=[start])
    b = factorize(shuffled, [4], solver=solver, start=[start[:, order]])
    assert torch.allclose(a.F[0][:, order], b.F[0], atol=1e-6)


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1.0, 1e6, 1e15])
def test_scaling_the_data_scales_the_error(planted, scale):
    plain = planted(noise=0.3, dtype=torch.float32)
    scaled = [Block(b.name, b.kind, b.samples * scale, b.shape) for b in plain]
    a, b = factorize(plain, RANKS), factorize(scaled, RANKS)
    assert torch.allclose(b.sse.sqrt() / scale, a.sse.sqrt(), rtol=1e-3)


def test_signed_blocks_get_signed_factors(planted, stacked):
    blocks = planted(r=3, sizes=(40, 200), noise=0.0)
    mixed = [blocks[0], Block("signed", "activation", blocks[1].samples - 0.3, (200,), signed=True)]
    for solver in (
        HALS(max_iter=1000, sample_tol=1e-10, momentum=0.0),
        MultiplicativeUpdates(max_iter=500, tol=1e-9),
    ):
        result = factorize(mixed, [5], solver=solver)
        assert (result.W[0][0] >= 0).all()
        assert (result.F[0] >= 0).all()
        assert (result.W[0][1] < 0).any()
        assert relative_errors(result, mixed, stacked)[0] < 0.05
        assert all((np.diff(h) <= 1e-12).all() for h in result.history)


@pytest.mark.parametrize("solver", [HALS(), HALS(n_sampled_rows=8), MultiplicativeUpdates()], ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(6, 40),
        lambda: torch.ones(6, 40),
        lambda: torch.rand(1, 40),
        lambda: torch.rand(6, 1),
        lambda: torch.cat([torch.rand(6, 20), torch.zeros(6, 20)], 1),
        lambda: torch.rand(1, 40).expand(6, 40).contiguous(),
        lambda: torch.eye(6),
    ],
    ids=["zero", "constant", "one-image", "one-feature", "zero-rows", "duplicates", "identity"],
)
def test_degenerate_blocks_give_finite_results(make, solver):
    torch.manual_seed(0)
    blocks = [Block("a", "input", make(), ()), Block("b", "activation", make() * 3, ())]
    result = factorize(blocks, (1, 2, 9), solver=solver)
    assert torch.isfinite(result.sse).all()
    assert (result.sse >= 0).all()
    assert all(torch.isfinite(f).all() and (f >= 0).all() for f in result.F)


def test_a_fit_with_a_start_continues_from_it(planted):
    blocks = planted(r=10, noise=0.5)
    first = factorize(blocks, RANKS)
    second = factorize(blocks, RANKS, start=first.F)
    assert all(b <= a * (1 + 1e-6) for a, b in zip(first.objective, second.objective))


def test_no_global_random_state_is_touched(planted):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    factorize(planted(noise=0.3), RANKS)
    assert torch.equal(before, torch.get_rng_state())


def test_wrong_arguments_are_named(planted):
    blocks = planted()
    bad = Block("layer3.relu", "activation", torch.full((60, 5), torch.nan, dtype=torch.float64), (5,))
    with pytest.raises(ValueError, match=r"layer3\.relu.*NaN"):
        factorize([*blocks, bad], [2])
    with pytest.raises(ValueError, match="ranks: .*found"):
        factorize(blocks, [0])
    with pytest.raises(ValueError, match="ranks: .*found"):
        factorize(blocks, [])
    with pytest.raises(ValueError, match="weighting: found 'loud'"):
        factorize(blocks, [2], weighting="loud")
    with pytest.raises(ValueError, match="same samples"):
        factorize([blocks[0], Block("b", "activation", torch.rand(3, 5), ())], [2])
    with pytest.raises(ValueError, match="start: found factors of shape"):
        factorize(blocks, [2], start=[torch.rand(3, 60)])
    with pytest.raises(ValueError, match="blocks: found none"):
        factorize([], [2])
    with pytest.raises(ValueError, match="momentum"):
        HALS(momentum=1.5)
    with pytest.raises(ValueError, match="weight"):
        L2(-1.0)

"""The fit against closed forms, planted answers, scikit-learn and the SVD."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization import (
    HALS,
    L1,
    L2,
    CoupledProblem,
    GroupLasso,
    MultiplicativeUpdates,
    factorize,
    fit,
    normalize_columns,
)
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.streaming import StreamedProblem
from lightning_factorlens.results import Block

SOLVERS = [HALS(), HALS(momentum=0.0), HALS(n_sampled_rows=64, n_final_iter=3), MultiplicativeUpdates()]
RANKS = (1, 2, 3, 4, 8)


def relative_errors(result, blocks, stacked):
    """By brute force, from the factors themselves."""
    X = stacked(blocks, result.weights)
    out = []
    for F, W in zip(result.F, result.W):
        X_hat = torch.cat([w * (factor.double() @ F.double()) for w, factor in zip(result.weights, W)])
        out.append(float((X - X_hat).norm() / X.norm()))
    return out


@pytest.mark.parametrize("weighting", ["unit", "raw"])
def test_multiplicative_updates_follow_scikit_learn(planted, stacked, weighting):
    from sklearn.decomposition import non_negative_factorization

    blocks = planted(noise=0.3, scales=(1.0, 5.0, 0.1))
    problem = CoupledProblem(blocks, weighting)
    X = stacked(blocks, problem.omega).numpy()
    rng = np.random.default_rng(0)
    W0, H0 = rng.random((X.shape[0], 4)), rng.random((4, X.shape[1]))
    solver, groups = MultiplicativeUpdates(), ComponentGroups((4,))
    state = solver.init(problem, groups, torch.tensor(H0), torch.tensor(W0.T.copy()))
    for _ in range(30):
        state = solver.step(problem, groups, state)
    W, H, _ = non_negative_factorization(
        X, W=W0.copy(), H=H0.copy(), n_components=4, init="custom", solver="mu", max_iter=30, tol=0
    )
    assert np.allclose(state.F.numpy(), H, rtol=1e-6, atol=1e-9)
    assert np.allclose(state.W.numpy().T, W, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_errors_are_those_of_the_factors(planted, stacked, solver, dtype):
    blocks = planted(noise=0.2, dtype=dtype, scales=(1.0, 30.0, 0.1))
    result = factorize(blocks, RANKS, solver=solver)
    energy = stacked(blocks, result.weights).square().sum()
    reported = [float(((row * torch.tensor(result.weights).double() ** 2).sum() / energy).sqrt()) for row in result.sse]
    assert reported == pytest.approx(relative_errors(result, blocks, stacked), rel=1e-4, abs=1e-7)


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


def test_as_good_as_scikit_learn(planted, stacked):
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


def test_unit_weighting_lets_no_block_drown_another(planted):
    small_and_loud = planted(r=8, noise=0.5, scales=(1.0, 1000.0, 1.0))
    unit = factorize(small_and_loud, [4], weighting="unit").sse[0]
    raw = factorize(small_and_loud, [4], weighting="raw").sse[0]
    assert unit[0] < raw[0]
    assert unit[1] > raw[1]


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


def test_a_sampled_block_is_corrected_for():
    g = torch.Generator().manual_seed(0)
    X = torch.rand(50, 4000, generator=g) * torch.rand(50, 1, generator=g)
    whole = factorize([Block("a", "activation", X, (4000,))], [2])
    part = factorize([Block("a", "activation", X[:, ::4].contiguous(), (4000,), sampling_factor=4.0)], [2])
    assert float(4 * part.sse[0]) == pytest.approx(float(whole.sse[0]), rel=0.02)


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
def test_degenerate_blocks_give_numbers(make, solver):
    torch.manual_seed(0)
    blocks = [Block("a", "input", make(), ()), Block("b", "activation", make() * 3, ())]
    result = factorize(blocks, (1, 2, 9), solver=solver)
    assert torch.isfinite(result.sse).all()
    assert (result.sse >= 0).all()
    assert all(torch.isfinite(f).all() and (f >= 0).all() for f in result.F)


def test_start_goes_on_from_the_last_result(planted):
    blocks = planted(r=10, noise=0.5)
    first = factorize(blocks, RANKS)
    second = factorize(blocks, RANKS, start=first.F)
    assert all(b <= a * (1 + 1e-6) for a, b in zip(first.objective, second.objective))


def test_no_global_random_state_is_touched(planted):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    factorize(planted(noise=0.3), RANKS)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "setting", ["torch.set_float32_matmul_precision('medium')", "torch.backends.cuda.matmul.fp32_precision = 'tf32'"]
)
def test_reduced_precision_is_put_back(setting):
    """In a process of its own: the two interfaces to the setting do not mix."""
    if "fp32" in setting and not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("this torch has the older interface alone")
    read = "getattr(torch.backends.cuda.matmul, 'fp32_precision', 0) or torch.get_float32_matmul_precision()"
    code = f"""
import torch
from lightning_factorlens.factorization import factorize
from lightning_factorlens.results import Block
{setting}
before = {read}
factorize([Block("a", "input", torch.rand(9, 20), (20,))], [2])
assert {read} == before, ({read}, before)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_bad_input_is_named(planted):
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


@pytest.mark.parametrize(
    "solver", [HALS(), HALS(n_sampled_rows=64, n_final_iter=3), MultiplicativeUpdates(max_iter=50)], ids=repr
)
def test_the_error_never_rises_with_the_rank_even_on_data_of_low_rank(planted, solver):
    g = torch.Generator().manual_seed(0)
    three = torch.rand(3, 400, generator=g)[torch.randint(0, 3, (64,), generator=g)]
    noisy = planted(r=3, sizes=(40, 300), N=80, noise=0.03, dtype=torch.float32)
    for blocks in ([Block("a", "activation", three, (400,))], noisy):
        result = factorize(blocks, (1, 2, 3, 4, 8, 16, 32), solver=solver)
        total = (result.sse * torch.tensor(result.weights).double() ** 2).sum(1)
        assert (total.diff() <= 1e-10 * total[0]).all(), total


def test_exact_low_rank_data_are_fitted_with_unit_norm_columns(planted, stacked):
    blocks = planted(r=3, sizes=(50, 300), N=100)
    result = factorize(blocks, [3], solver=HALS(max_iter=2000, sample_tol=1e-12))
    W, scales = normalize_columns(result, 3)
    for block, w, s in zip(blocks, W, scales):
        assert torch.allclose(w.norm(dim=0), torch.ones(3, dtype=w.dtype))
        X = block.samples.T
        assert float((X - w @ torch.diag(s) @ result.F[0]).norm() / X.norm()) < 1e-4
    with pytest.raises(ValueError, match="rank: found 7, fitted are"):
        normalize_columns(result, 7)


@pytest.mark.parametrize("penalty", [L2(0.7), L1(0.7), GroupLasso(0.7), GroupLasso(0.7, [0, 0, 1, 1, 1, 2])], ids=repr)
def test_prox_is_the_minimum_of_its_subproblem(penalty):
    """Against a slow projected-gradient search on v‖t‖² − 2⟨u, t⟩ + penalty(t), t ≥ 0."""
    g = torch.Generator().manual_seed(0)
    for v in (0.3, 2.0):
        u = torch.randn(6, generator=g, dtype=torch.float64)
        found = penalty.prox_(u.clamp_min(0) / v, v)
        cost = lambda t: float(v * t.square().sum() - 2 * (u * t).sum() + penalty.value(t[None]))  # noqa: E731, B023
        least = cost(found)
        for _ in range(2000):
            other = (
                found + 0.3 * torch.randn(6, generator=g, dtype=torch.float64) * torch.rand(1, generator=g)
            ).clamp_min(0)
            assert cost(other) >= least - 1e-12


def test_group_lasso_switches_components_off_as_it_grows(planted):
    blocks = planted(r=4, noise=0.3)
    off = []
    for weight in (0.0, 3.0, 30.0, 300.0):
        solver = HALS(penalty_W=L2(1e-2), penalty_F=GroupLasso(weight), max_iter=200)
        off.append(int((factorize(blocks, [8], solver=solver).F[0].norm(dim=1) < 1e-9).sum()))
    assert off == sorted(off)
    assert off[0] == 0
    assert off[-1] > 0
    with pytest.raises(ValueError, match="groups: found 2 numbers for 60 samples"):
        factorize(blocks, [2], solver=HALS(penalty_F=GroupLasso(1.0, [0, 1])))


def test_streamed_blocks_give_the_same_fit(planted):
    blocks = planted(noise=0.3)
    solver = HALS(n_sampled_rows=32)
    expected = factorize(blocks, [2, 4], solver=solver)
    small_chunks = Partition(chunk_size=7)
    streamed = StreamedProblem(blocks, "unit", "cpu", small_chunks)
    found = fit(streamed, [2, 4], solver=solver)
    torch.testing.assert_close(found.sse, expected.sse, rtol=1e-4, atol=0)
    in_place = CoupledProblem(blocks, "unit", small_chunks)
    warm, again = (fit(problem, [2, 4], solver=solver, start=expected.F) for problem in (in_place, streamed))
    torch.testing.assert_close(again.sse, warm.sse, rtol=1e-4, atol=0)
    on_device = factorize(blocks, [2, 4], solver=solver, device="cpu")
    torch.testing.assert_close(on_device.sse, expected.sse, rtol=1e-4, atol=0)

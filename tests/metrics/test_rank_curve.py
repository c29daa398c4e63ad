"""Errors of groups of blocks against slow float64 versions of their definitions."""

import math

import numpy as np
import pytest
import torch

from lightning_factorlens.factorization import CoupledProblem, fit
from lightning_factorlens.metrics.rank_curve import BlockGroups, rank_curve
from lightning_factorlens.metrics.required_rank import required_rank
from lightning_factorlens.results import Block

RANKS = (1, 2, 4, 8)
GROUPS = {"total": (0, 1, 2, 3), "inputs": (0, 1), "activations": (2, 3), "input/0": (0,), "input/1": (1,)}


@pytest.fixture(scope="module", params=["unit", "raw"])
def case(request):
    """Weights, the matrices X_b, the problem and its factorisation."""
    g = torch.Generator().manual_seed(0)
    scales = (1.0, 0.3, 4.0, 0.05)
    names = ("input/0", "input/1", "conv", "total")
    blocks = []
    for name, scale, features in zip(names, scales, (30, 20, 80, 9)):
        samples = scale * torch.rand(25, features, generator=g, dtype=torch.float64)
        kind = "input" if name.startswith("input") else "activation"
        blocks.append(Block(name, kind, samples, (features,)))
    problem = CoupledProblem(blocks, request.param)
    return problem.weights, [block.samples.T.numpy() for block in blocks], problem, fit(problem, RANKS)


def groups_of(problem):
    return {**GROUPS, "conv": (2,), "total-block": (3,)}


def stack(matrices, members, weights=None):
    return np.concatenate([(1.0 if weights is None else weights[b]) * matrices[b] for b in members])


def test_a_block_named_like_a_group_gets_a_suffix(case):
    members = BlockGroups(case[2]).members
    assert {part: tuple(positions) for part, positions in members.items()} == groups_of(case[2])


def test_errors_are_those_of_the_factors(case):
    weights, X, problem, result = case
    curves = BlockGroups(problem).curves(result)
    for part, members in groups_of(problem).items():
        for k, F in enumerate(result.F):
            residuals = [x - w.double().numpy() @ F.double().numpy() for x, w in zip(X, result.W[k])]
            relative = np.linalg.norm(stack(residuals, members, weights)) / np.linalg.norm(stack(X, members, weights))
            rmse = math.sqrt(np.mean(stack(residuals, members) ** 2))
            assert curves[part].rel_error[k] == pytest.approx(relative, rel=1e-6)
            assert curves[part].rel_sq_error[k] == pytest.approx(relative**2, rel=1e-6)
            assert curves[part].rmse[k] == pytest.approx(rmse, rel=1e-6)


def test_svd_errors_are_those_of_the_truncated_svd_and_lie_below(case):
    weights, X, problem, result = case
    groups = BlockGroups(problem)
    curves = groups.curves(result)
    svd_curves = groups.svd_curves(curves)
    for part, members in groups_of(problem).items():
        weighted = np.linalg.svd(stack(X, members, weights), compute_uv=False) ** 2
        unweighted = np.linalg.svd(stack(X, members), compute_uv=False) ** 2
        n_entries = stack(X, members).size
        for k, rank in enumerate(RANKS):
            relative = weighted[rank:].sum() / weighted.sum()
            assert svd_curves[part].rel_sq_error[k] == pytest.approx(relative, rel=1e-6, abs=1e-9)
            assert svd_curves[part].rmse[k] == pytest.approx(
                math.sqrt(unweighted[rank:].sum() / n_entries), rel=1e-6, abs=1e-7
            )
            assert svd_curves[part].rel_error[k] <= curves[part].rel_error[k] * (1 + 1e-9)


def test_effective_rank_and_rms(case):
    weights, X, problem, _ = case
    groups = BlockGroups(problem)
    effective_ranks = groups.effective_ranks()
    rms = groups.rms()
    for part, members in groups_of(problem).items():
        sigma = np.linalg.svd(stack(X, members, weights), compute_uv=False)
        p = sigma / sigma.sum()
        entropy = -np.sum(p[p > 0] * np.log(p[p > 0]))
        assert effective_ranks[part] == pytest.approx(np.exp(entropy), rel=1e-5)
        assert rms[part] == pytest.approx(math.sqrt(np.mean(stack(X, members) ** 2)), rel=1e-9)


def test_neurons_that_were_not_kept_count_as_those_that_were():
    samples = torch.rand(12, 10, dtype=torch.float64)
    kept = [Block("a", "activation", samples, (30,), sampling_factor=3.0, kept_features=torch.arange(0, 30, 3))]
    whole = [Block("a", "activation", samples.repeat(1, 3), (30,))]
    rms = [BlockGroups(CoupledProblem(blocks)).rms()["a"] for blocks in (kept, whole)]
    assert rms[0] == pytest.approx(rms[1])


def test_rounding_below_zero_is_cut_off():
    curve = rank_curve((1, 2), (0.25, -1e-9), (1.0, -1e-9))
    assert curve.rel_error == (0.5, 0.0)
    assert curve.rmse == (1.0, 0.0)


def random_blocks(kind, scale, N=32):
    """Two layers, the second at another scale, and an input channel."""
    g = torch.Generator().manual_seed(0)
    z = torch.randn(N, 90, generator=g)
    if kind == "nearly rank one":
        x = 1 + 0.005 * z
    elif kind == "low rank and noise":
        x = torch.rand(N, 5, generator=g) @ torch.rand(5, 90, generator=g) + 0.01 * torch.rand(N, 90, generator=g)
    elif kind == "exactly low rank":
        x = torch.rand(N, 3, generator=g) @ torch.rand(3, 90, generator=g)
    else:
        x = z.relu()
    return [
        Block("a", "activation", x, (90,)),
        Block("b", "activation", scale * torch.rand(N, 40, generator=g), (40,)),
        Block("input/0", "input", torch.rand(N, 25, generator=g), (5, 5)),
    ]


@pytest.mark.parametrize("weighting", ["unit", "raw"])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e15])
@pytest.mark.parametrize("kind", ["relu", "nearly rank one", "low rank and noise", "exactly low rank"])
def test_bounds_are_those_of_a_float64_svd_and_no_error_is_below(kind, scale, weighting):
    problem = CoupledProblem(random_blocks(kind, scale), weighting)
    groups = BlockGroups(problem)
    curves = groups.curves(fit(problem, RANKS))
    bounds = groups.svd_curves(curves)
    effective_ranks = groups.effective_ranks()
    X = [block.samples.T.double().numpy() for block in problem.blocks]
    for part, members in groups.members.items():
        sigma = np.linalg.svd(stack(X, members, problem.weights), compute_uv=False)
        p = sigma / sigma.sum()
        p = p[p > 0]
        assert effective_ranks[part] == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-4)
        for k, rank in enumerate(RANKS):
            expected = math.sqrt((sigma[rank:] ** 2).sum() / (sigma**2).sum())
            assert bounds[part].rel_error[k] == pytest.approx(expected, rel=1e-4, abs=2e-7)
            assert bounds[part].rel_error[k] <= curves[part].rel_error[k] * (1 + 1e-6)
            assert bounds[part].rmse[k] <= curves[part].rmse[k] * (1 + 1e-6)


def test_a_dead_layer_has_no_error_and_no_effective_rank():
    blocks = random_blocks("relu", 1.0)
    blocks.insert(1, Block("dead", "activation", torch.zeros(32, 12), (12,)))
    problem = CoupledProblem(blocks)
    groups = BlockGroups(problem)
    curves = groups.curves(fit(problem, RANKS))
    bounds = groups.svd_curves(curves)
    assert groups.dead_parts() == ("dead",)
    for curve in (curves["dead"], bounds["dead"]):
        assert np.isnan([curve.rmse, curve.rel_error, curve.rel_sq_error]).all()
    assert math.isnan(groups.effective_ranks()["dead"])
    assert groups.rms()["dead"] == 0
    alive = CoupledProblem([block for block in blocks if block.name != "dead"])
    assert groups.effective_ranks()["total"] == pytest.approx(BlockGroups(alive).effective_ranks()["total"])
    assert np.isfinite([curves["total"].rel_error, curves["activations"].rmse, bounds["total"].rmse]).all()


def test_without_any_live_value_nothing_has_an_error():
    problem = CoupledProblem([Block("dead", "activation", torch.zeros(8, 12), (12,))])
    groups = BlockGroups(problem)
    curves = groups.curves(fit(problem, (1, 2)))
    assert groups.dead_parts() == ("total", "activations", "dead")
    assert np.isnan([curves["total"].rel_error, groups.svd_curves(curves)["total"].rel_error]).all()
    assert math.isnan(required_rank(curves["total"], 0.3).rank)


def test_a_constant_layer_has_effective_rank_one_and_bound_zero():
    problem = CoupledProblem([Block("constant", "activation", torch.full((8, 12), 0.3), (12,))])
    groups = BlockGroups(problem)
    bounds = groups.svd_curves(groups.curves(fit(problem, (1, 2))))
    assert groups.effective_ranks()["constant"] == pytest.approx(1)
    assert bounds["constant"].rel_error == (0, 0)


def test_not_a_number_is_not_cut_off():
    curve = rank_curve((1, 2), (math.nan, 0.04), (math.nan, 0.16))
    assert np.isnan([curve.rmse[0], curve.rel_error[0], curve.rel_sq_error[0]]).all()
    assert curve.rel_error[1] == pytest.approx(0.2)

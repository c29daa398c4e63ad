"""Errors of groups of blocks against slow float64 versions of their definitions."""

import math

import numpy as np
import pytest
import torch

from lightning_factorlens.factorization import CoupledProblem, fit
from lightning_factorlens.metrics.rank_curve import BlockGroups, rank_curve
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

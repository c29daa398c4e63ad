"""Penalties: their proximal steps, and their effect on factors."""

import math

import pytest
import torch

from lightning_factorlens.factorization import (
    HALS,
    L1,
    L2,
    CoupledProblem,
    GroupLasso,
    MultiplicativeUpdates,
    factorize,
)
from lightning_factorlens.results import Block


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


def test_a_larger_group_lasso_sets_more_components_to_zero(planted):
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


SOLVERS = [
    HALS(max_iter=400, sample_tol=1e-9),
    HALS(max_iter=400, sample_tol=1e-9, momentum=0.0),
    MultiplicativeUpdates(max_iter=500, tol=1e-9),
]


#: The scales of the data; every solver has the extreme ones in the slow tests, HALS in all.
SOLVERS_AND_SCALES = [
    pytest.param(solver, scale, id=f"{name}, {scale:g}", marks=marks)
    for name, solver in zip(("hals", "hals without momentum", "multiplicative"), SOLVERS)
    for scale in (1e-15, 1.0, 1e15)
    for marks in [() if name == "hals" or scale == 1.0 else pytest.mark.slow]
]


def with_penalties(solver, penalty_W, penalty_F):
    return type(solver)(**{**vars(solver), "penalty_W": penalty_W, "penalty_F": penalty_F})


def random_blocks(scale=1.0, n_blocks=2, features=60, rank=6):
    generator = torch.Generator().manual_seed(0)
    F = torch.rand(rank, 40, generator=generator)
    blocks = []
    for b in range(n_blocks):
        X = F.T @ torch.rand(rank, features, generator=generator) + 0.1 * torch.rand(40, features, generator=generator)
        blocks.append(Block(f"block{b}", "activation", scale * X, (features,)))
    return blocks


def recomputed_objective(result, blocks, penalty_W, penalty_F):
    """Σ_b ω_b² ‖X_b − W_b F‖² + p(W̃) + p(F)/E of every rank in float64, from the returned factors."""
    problem = CoupledProblem(blocks)
    values = []
    for F, factors in zip(result.F, result.W):
        value = 0.0
        for block, W, omega in zip(blocks, factors, problem.omega_given):
            value += omega**2 * float((block.samples.double().T - W.double() @ F.double()).square().sum())
        W_tilde = torch.cat([omega * W.double() for W, omega in zip(factors, problem.omega_given)]).T
        if penalty_W is not None:
            value += float(penalty_W.value(W_tilde).sum())
        if penalty_F is not None:
            value += float(penalty_F.value(F).sum()) / problem.energy
        values.append(value)
    return values


@pytest.mark.parametrize(("solver", "scale"), SOLVERS_AND_SCALES)
@pytest.mark.parametrize("case", ["both L2", "both L2, zero", "L2 on F", "group lasso on W", "group lasso on F"])
def test_rank_one_has_the_closed_form_of_its_penalty(solver, scale, case):
    """With σ the largest singular value of the data of norm 1, the problem is one of the lengths of W and F alone."""
    (block,) = random_blocks(scale, n_blocks=1)
    X = block.samples.double()
    energy = float(X.square().sum())
    sigma = float(torch.linalg.svdvals(X)[0]) / math.sqrt(energy)
    penalty_W, penalty_F, expected = {
        "both L2": (L2(0.04), L2(0.09 * energy), 1 - (sigma - 0.06) ** 2),  # the nuclear norm
        "both L2, zero": (L2(2.0), L2(2.0 * energy), 1.0),
        "L2 on F": (None, L2(0.3 * energy), 1 - sigma**2 / 1.3),
        "group lasso on W": (GroupLasso(0.2), None, 1 - (sigma - 0.1) ** 2),
        "group lasso on F": (None, GroupLasso(0.2 * energy), 1 - (sigma - 0.1) ** 2),
    }[case]
    result = factorize([block], (1,), solver=with_penalties(solver, penalty_W, penalty_F))
    assert result.objective[0] == pytest.approx(expected, rel=1e-5)
    assert recomputed_objective(result, [block], penalty_W, penalty_F) == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize("solver", SOLVERS, ids=["hals", "hals without momentum", "multiplicative"])
@pytest.mark.parametrize(
    ("n_blocks", "weight", "scale"),
    [(1, 0.05, 1.0), (20, 0.05, 1e-15), pytest.param(20, 0.2, 1.0, marks=pytest.mark.slow)],
)
def test_the_returned_objective_is_not_above_the_best_iterate(solver, scale, n_blocks, weight):
    """A component of W is one group over all blocks, also in the last iteration."""
    blocks = random_blocks(scale, n_blocks, features=20)
    energy = CoupledProblem(blocks).energy
    penalties = (GroupLasso(weight), L2(1e-3 * energy))
    result = factorize(blocks, (2, 6), solver=with_penalties(solver, *penalties))
    for objective, history in zip(result.objective, result.history):
        assert objective <= min(history) * (1 + 2e-5)
    assert list(result.objective) == pytest.approx(recomputed_objective(result, blocks, *penalties), rel=1e-5)


@pytest.mark.parametrize("solver", [HALS(), MultiplicativeUpdates()], ids=["hals", "multiplicative"])
@pytest.mark.parametrize(("strength", "scale"), [(0.1, 1.0), (1.0, 1e15), (10.0, 1.0), (1e3, 1e-15), (1e6, 1.0)])
@pytest.mark.parametrize(("on_W", "on_F"), [(L1, L1), (L2, L2), (L2, L1), (GroupLasso, L2), (L2, GroupLasso)])
def test_no_objective_is_above_that_of_factors_of_zero(solver, scale, strength, on_W, on_F):
    blocks = random_blocks(scale)
    penalties = (on_W(strength), on_F(strength * CoupledProblem(blocks).energy))
    result = factorize(blocks, (1, 4), solver=with_penalties(solver, *penalties))
    assert max(result.objective) <= 1
    assert list(result.objective) == pytest.approx(recomputed_objective(result, blocks, *penalties), rel=1e-4)
    if strength >= 10:
        assert list(result.objective) == pytest.approx([1.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("solver", [HALS(), MultiplicativeUpdates()], ids=["hals", "multiplicative"])
@pytest.mark.parametrize("penalty", [L1, L2, GroupLasso])
@pytest.mark.parametrize("on", ["W", "F"])
@pytest.mark.parametrize("other", [None, L2(0.0)], ids=["none", "zero"])
def test_one_penalty_alone_has_an_effect_and_no_factor_grows_without_bound(solver, penalty, on, other):
    blocks = random_blocks()
    energy = CoupledProblem(blocks).energy
    errors, sizes = [], []
    for strength in (0.01, 0.1, 1.0):
        weight = penalty(strength * (energy if on == "F" else 1.0))
        penalties = (weight, other) if on == "W" else (other, weight)
        result = factorize(blocks, (4,), solver=with_penalties(solver, *penalties))
        W_tilde = torch.cat([o * W for W, o in zip(result.W[0], CoupledProblem(blocks).omega_given)])
        penalised, free = (W_tilde.T, result.F[0]) if on == "W" else (result.F[0], W_tilde.T)
        assert free.norm(dim=1).max() <= 1 + 1e-5
        errors.append(float(result.sse.sum()))
        sizes.append(float(penalty(1.0).value(penalised).sum()))
    assert errors == sorted(errors) and errors[-1] > 1.02 * errors[0]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 0.9 * sizes[0]


@pytest.mark.parametrize("solver", [HALS(), MultiplicativeUpdates()], ids=["hals", "multiplicative"])
def test_a_penalty_on_f_that_a_signed_factor_would_avoid_is_refused(solver):
    signed = Block("signed", "activation", random_blocks()[0].samples - 1, (60,), signed=True)
    for penalty_W in (None, L1(0.1), L2(0.0)):
        with pytest.raises(ValueError, match=r"penalty_W: .*signed factor.*L2"):
            factorize([signed], (2,), solver=with_penalties(solver, penalty_W, L1(1.0)))
    assert factorize([signed], (2,), solver=with_penalties(solver, L2(0.1), L1(1.0))).objective[0] < 1

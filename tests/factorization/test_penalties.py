"""Penalties: their proximal steps, and their effect on factors."""

import pytest
import torch

from lightning_factorlens.factorization import (
    HALS,
    L1,
    L2,
    GroupLasso,
    factorize,
)


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

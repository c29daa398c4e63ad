"""Errors do not rise with the rank."""

import pytest
import torch

from lightning_factorlens.factorization import (
    HALS,
    MultiplicativeUpdates,
    factorize,
)
from lightning_factorlens.results import Block


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

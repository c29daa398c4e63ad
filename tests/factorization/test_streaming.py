"""Blocks that stay on another device than the computation."""

import torch

from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization import (
    HALS,
    CoupledProblem,
    factorize,
    fit,
)
from lightning_factorlens.factorization.streaming import StreamedProblem


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

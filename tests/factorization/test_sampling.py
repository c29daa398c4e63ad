"""Sampled feature rows: their probabilities, and the problem that they form."""

import pytest
import torch

from lightning_factorlens.factorization import HALS, CoupledProblem, factorize
from lightning_factorlens.factorization.sampling import (
    inclusion_probabilities,
    sampled_problem,
    shuffled_order,
    systematic_sample,
)
from lightning_factorlens.results import Block


def test_probabilities_are_proportional_to_squared_norms_and_at_most_one():
    norms_sq = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    norms_sq[7] = 500.0
    pi = inclusion_probabilities(norms_sq, 100)
    assert pi[7] == 1 and (pi <= 1).all()
    assert pi.sum() == pytest.approx(100)
    others = torch.arange(1000) != 7
    ratios = pi[others] / norms_sq[others]
    torch.testing.assert_close(ratios, ratios.mean().expand_as(ratios))


def test_a_systematic_sample_is_deterministic_and_ascending():
    pi = inclusion_probabilities(torch.rand(1000, generator=torch.Generator().manual_seed(0)), 100)
    order = shuffled_order((400, 600), pi.device)
    sample = systematic_sample(pi, order)
    assert torch.equal(sample, systematic_sample(pi, order))
    assert len(sample) in (99, 100) and (sample.diff() > 0).all()


def test_the_sampled_problem_estimates_the_gram_matrix_of_all_rows(planted):
    problem = CoupledProblem(planted(r=4, sizes=(3000, 8000), noise=0.5))
    sampled = sampled_problem(problem, 2000)
    assert sampled.features in (1999, 2000)
    difference = sampled.gram() * sampled.energy - problem.gram()
    assert difference.norm() < 0.05 * problem.gram().norm()


def test_signed_and_non_negative_rows_are_separate_blocks(planted):
    blocks = planted(sizes=(300, 400))
    signed = Block("signed", "activation", blocks[1].samples - 0.5, (400,), signed=True)
    sampled = sampled_problem(CoupledProblem([blocks[0], signed]), 100)
    assert [block.signed for block in sampled.blocks] == [False, True]
    assert sum(block.samples.shape[1] for block in sampled.blocks) == sampled.m


@pytest.mark.parametrize("period", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_periodic_rows_of_equal_norm_are_fitted_like_shuffled_ones(period, scale):
    """The checkerboard of a strided deconvolution; a sample in the rows' own order sees one phase alone."""
    generator = torch.Generator().manual_seed(0)
    F = torch.rand(period, 4, 32, generator=generator) ** 6
    W = torch.rand(4096, 4, generator=generator)
    rows = torch.stack([W[i] @ F[i % period] for i in range(4096)])
    rows = torch.nn.functional.normalize(rows, dim=1) * scale
    block = Block("deconvolution", "activation", rows.T.contiguous(), (4096,))
    sampled = factorize([block], (2, 4, 8), solver=HALS(n_sampled_rows=1024))
    complete = factorize([block], (2, 4, 8), solver=HALS(n_sampled_rows=0))
    relative = (sampled.sse.sqrt() - complete.sse.sqrt()) / block.samples.double().norm()
    assert relative.max() < 0.01


def test_every_block_is_sampled_in_proportion_to_its_energy():
    pi = inclusion_probabilities(torch.cat([torch.ones(3000), 3 * torch.ones(1000)]), 400)
    sample = systematic_sample(pi, shuffled_order((3000, 1000), pi.device))
    assert abs(int((sample < 3000).sum()) - 200) <= 1

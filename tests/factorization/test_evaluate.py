"""Errors against those of the products of the factors, also where the formula with Gram matrices would cancel."""

import pytest
import torch

from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization import ComponentGroups, CoupledProblem, factorize
from lightning_factorlens.factorization.evaluate import block_sse, row_sums
from lightning_factorlens.results import Block


@pytest.mark.parametrize("noise", [0.0, 1e-4, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_errors_are_those_of_the_residuals(planted, noise, dtype):
    blocks = planted(r=2, sizes=(30, 5000), dtype=dtype, noise=noise)
    problem = CoupledProblem(blocks)
    generator = torch.Generator().manual_seed(0)
    groups = ComponentGroups((2, 3))
    exact = torch.linalg.svd(torch.cat([b.samples.T * o for b, o in zip(blocks, problem.omega)]), full_matrices=False)
    F = torch.cat([exact.Vh[:2], torch.rand(3, problem.N, generator=generator, dtype=dtype)])
    W = torch.cat([(exact.U[:, :2] * exact.S[:2]).T, torch.rand(3, problem.m, generator=generator, dtype=dtype)])
    sse = block_sse(problem, groups, F, W)
    for k, rows in enumerate(groups.slices):
        for b, (block, columns) in enumerate(zip(blocks, problem.columns)):
            product = W[rows, columns].double().T @ F[rows].double() / problem.omega[b]
            residual = (block.samples.T.double() - product).square().sum()
            assert float(sse[k, b]) == pytest.approx(
                float(residual), rel=2e-3, abs=1e-9 * float(product.square().sum())
            )


def test_sums_do_not_depend_on_the_chunks(planted):
    blocks = planted(r=4, sizes=(30, 5000), noise=0.5)
    groups = ComponentGroups((2, 3))
    totals = []
    for chunk_size in (7, 1024, 8192):
        problem = CoupledProblem(blocks, partition=Partition(chunk_size))
        W = torch.rand(5, problem.m, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        C, V = row_sums(problem, groups, W).total(problem)
        totals.append(torch.cat([C.flatten(), *[v.flatten() for v in V]]))
    torch.testing.assert_close(totals[0], totals[2], rtol=1e-12, atol=0)
    torch.testing.assert_close(totals[1], totals[2], rtol=1e-12, atol=0)


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1.0, 1e15, 1e30])
@pytest.mark.parametrize("kind", ["near_constant", "uniform", "gelu", "low_rank"])
def test_errors_of_signed_blocks_are_those_of_the_returned_factors(kind, scale):
    """Factors of both signs cancel in the Gram form; the oracle is the residual in float64."""
    generator = torch.Generator().manual_seed(3)
    normal = torch.randn(16, 300, generator=generator)
    samples = {
        "near_constant": normal[:1] + 0.02 * torch.randn(16, 300, generator=generator),
        "uniform": torch.rand(16, 300, generator=generator) - 0.5,
        "gelu": torch.nn.functional.gelu(1 + 0.1 * normal),
        "low_rank": torch.randn(16, 3, generator=generator) @ normal[:3],
    }[kind]
    block = Block("signed", "activation", samples * scale, (300,), signed=True)
    result = factorize([block], (1, 2, 4, 8))
    X = block.samples.double()
    for F, (W,), sse in zip(result.F, result.W, result.sse[:, 0]):
        true = (X - F.double().T @ W.double().T).norm() / X.norm()
        assert float(sse.sqrt() / X.norm()) == pytest.approx(float(true), rel=1e-4, abs=1e-6)

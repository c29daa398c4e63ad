"""Blocks of all dtypes, signs and scales: a result with the errors of its factors, or a message that is true."""

import pytest
import torch

from lightning_factorlens.factorization import HALS, CoupledProblem, MultiplicativeUpdates, factorize
from lightning_factorlens.results import Block

RANKS = (1, 4)


def two_blocks(first=1.0, second=1.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    low_rank = torch.rand(24, 6, generator=generator) @ torch.rand(6, 80, generator=generator)
    relu = torch.randn(24, 50, generator=generator).relu()
    samples = [
        low_rank.to(dtype) * torch.tensor(first, dtype=dtype),
        relu.to(dtype) * torch.tensor(second, dtype=dtype),
    ]
    return [Block(f"block{b}", "activation", X, (X.shape[1],)) for b, X in enumerate(samples)]


def relative_errors_by_block(result, blocks):
    """The relative error of every block from the returned factors in float64, in units in which no square vanishes."""
    errors = []
    for F, factors in zip(result.F, result.W):
        for W, block in zip(factors, blocks):
            unit = float(block.samples.double().abs().max())
            X = block.samples.double() / unit
            errors.append(float((X - F.double().T @ (W.double() / unit).T).norm() / X.norm()))
    return errors


def reported_errors_by_block(result, blocks):
    energies = torch.tensor([float(block.samples.double().square().sum()) for block in blocks], dtype=torch.float64)
    return (result.sse / energies).sqrt().flatten().tolist()


@pytest.mark.parametrize("solver", [HALS(), MultiplicativeUpdates()], ids=["hals", "multiplicative"])
@pytest.mark.parametrize(
    "scales", [(1.0, 1e-30), (1.0, 1e-38), (1.0, 1e-42), (1e-42, 1e-42), (1e37, 1e37), (1e37, 1e-42)]
)
@pytest.mark.parametrize("weighting", ["unit", "raw"])
def test_float32_blocks_of_all_scales_have_the_errors_of_their_factors(scales, solver, weighting):
    blocks = two_blocks(*scales)
    result = factorize(blocks, RANKS, solver=solver, weighting=weighting)
    expected = relative_errors_by_block(result, blocks)
    assert reported_errors_by_block(result, blocks) == pytest.approx(expected, rel=5e-3)
    if weighting == "unit":
        ordinary = factorize(two_blocks(), RANKS, solver=solver)
        # Denormal numbers near 1e-42 have three digits.
        assert expected == pytest.approx(relative_errors_by_block(ordinary, two_blocks()), rel=5e-3)


@pytest.mark.parametrize("scale", [1e-150, 1e-100, 1.0, 1e100, 1e149])
def test_float64_blocks_of_all_scales_have_the_errors_of_ordinary_ones(scale):
    blocks = two_blocks(scale, scale, torch.float64)
    result = factorize(blocks, RANKS)
    ordinary = two_blocks(dtype=torch.float64)
    expected = relative_errors_by_block(factorize(ordinary, RANKS), ordinary)
    assert reported_errors_by_block(result, blocks) == pytest.approx(expected, rel=1e-6)
    assert relative_errors_by_block(result, blocks) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("scale", "size"), [(1e160, "large"), (1e200, "large"), (1e-160, "small"), (1e-200, "small")])
def test_float64_blocks_whose_squares_do_not_exist_are_refused_with_the_reason(scale, size):
    with pytest.raises(ArithmeticError, match=f"block 'block1' are too {size}: the largest magnitude is"):
        factorize(two_blocks(1.0, scale, torch.float64), RANKS)


def test_blocks_whose_weight_does_not_exist_are_refused_but_not_without_weights():
    blocks = two_blocks(1e100, 1e-100, torch.float64)
    with pytest.raises(ValueError, match=r"block 'block1' is more than 1e\+150 times smaller .* weighting='raw'"):
        factorize(blocks, RANKS)
    assert torch.isfinite(factorize(blocks, RANKS, weighting="raw").sse).all()


@pytest.mark.parametrize("solver", [HALS(), MultiplicativeUpdates()], ids=["hals", "multiplicative"])
@pytest.mark.parametrize("lowest", [-1e-6, -2.0])
def test_negative_values_of_an_unsigned_block_are_refused_by_name(solver, lowest):
    blocks = two_blocks()
    blocks[1].samples[3, 4] = lowest
    with pytest.raises(ValueError, match=r"block 'block1' has 1 negative values of 1200, .*signed=True"):
        factorize(blocks, RANKS, solver=solver)
    signed = Block("block1", "activation", blocks[1].samples, (50,), signed=True)
    assert torch.isfinite(factorize([blocks[0], signed], RANKS, solver=solver).sse).all()


def test_negative_zeros_are_not_negative_values():
    samples = torch.tensor([[-0.0, 1.0], [2.0, -0.0]])
    assert factorize([Block("a", "activation", samples, (2,))], (2,)).objective[0] < 1e-6


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.uint8, torch.int32, torch.int64, torch.bool, torch.float32]
)
def test_other_dtypes_are_converted_to_float32(dtype):
    values = (two_blocks()[0].samples * 40).to(dtype)
    result = factorize([Block("a", "activation", values, (80,))], RANKS)
    expected = factorize([Block("a", "activation", values.float(), (80,))], RANKS)
    assert torch.equal(result.sse, expected.sse)
    assert result.F[1].dtype == torch.float32


def test_mixed_dtypes_are_converted_to_the_widest():
    float32, other = two_blocks()
    mixed = [float32, Block("block1", "activation", other.samples.double(), (50,))]
    result = factorize(mixed, RANKS)
    wide = [Block(b.name, b.kind, b.samples.double(), b.shape) for b in (float32, other)]
    assert torch.equal(result.sse, factorize(wide, RANKS).sse)
    assert result.W[0][0].dtype == torch.float64


def test_sparse_samples_and_samples_with_a_graph_are_converted_without_a_warning(recwarn):
    plain = two_blocks()[1]
    expected = factorize([plain], RANKS).sse
    sparse = Block("a", "activation", plain.samples.to_sparse(), (50,))
    with_graph = Block("a", "activation", plain.samples.clone().requires_grad_() * 1, (50,))
    for block in (sparse, with_graph):
        assert torch.equal(factorize([block], RANKS).sse, expected)
    assert not recwarn.list


def test_complex_values_and_blocks_on_two_devices_are_refused():
    block = two_blocks()[1]
    with pytest.raises(ValueError, match="block 'a' has complex values"):
        factorize([Block("a", "activation", block.samples.to(torch.complex64), (50,))], RANKS)
    elsewhere = Block("b", "activation", torch.empty(24, 5, device="meta"), (5,))
    with pytest.raises(ValueError, match="on the devices"):
        CoupledProblem([block, elsewhere])

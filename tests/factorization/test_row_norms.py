"""Norms of feature rows at all scales, and values that are not finite."""

import pytest
import torch

from lightning_factorlens.factorization.row_norms import feature_row_norms
from lightning_factorlens.results import Block


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1.0, 1e10, 1e30])
@pytest.mark.parametrize("N", [1, 64, 150])
def test_norms_are_right_even_where_squares_leave_the_range_of_float32(scale, N):
    samples = torch.rand(N, 20, generator=torch.Generator().manual_seed(0)) * scale
    norms = feature_row_norms(Block("a", "activation", samples, (20,)))
    assert norms.dtype == torch.float64
    torch.testing.assert_close(norms, samples.double().norm(dim=0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_values_that_are_not_finite_are_counted_and_the_block_is_named(value):
    samples = torch.rand(3, 4)
    samples[1, 2] = value
    message = r"blocks: block 'layer1' has 1 values that are NaN or infinite, of 12\. .*leave the layer out"
    with pytest.raises(ValueError, match=message):
        feature_row_norms(Block("layer1", "activation", samples, (4,)))


def test_inputs_that_are_not_finite_are_said_to_be_inputs():
    samples = torch.tensor([[1.0, torch.nan]])
    with pytest.raises(ArithmeticError, match="the probe's inputs have NaN") as caught:
        feature_row_norms(Block("input/0", "input", samples, (2,)))
    assert "layers=" not in str(caught.value)


def test_a_process_without_features_of_a_block_has_no_norms():
    assert feature_row_norms(Block("a", "activation", torch.zeros(3, 0), (8,))).shape == (0,)

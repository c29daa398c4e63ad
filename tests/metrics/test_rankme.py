"""Effective rank of features against numpy and closed forms."""

import math

import numpy as np
import pytest
import torch

from lightning_factorlens.factorization import CoupledProblem
from lightning_factorlens.metrics.rank_curve import BlockGroups
from lightning_factorlens.metrics.rankme import rankme
from lightning_factorlens.results import Block


def oracle(x):
    sigma = np.linalg.svd(x.double().flatten(1).numpy(), compute_uv=False)
    p = sigma / sigma.sum()
    p = p[p > 0]
    return np.exp(-(p * np.log(p)).sum())


@pytest.mark.parametrize("shape", [(40, 7), (20, 3, 4, 4), (6, 6), (1, 9), (2, 9), (3, 1)])
def test_it_is_the_exponential_of_the_entropy_of_the_singular_values(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert rankme(x) == pytest.approx(oracle(x), rel=1e-6)
    assert rankme(torch.eye(9)) == pytest.approx(9)
    assert rankme(torch.ones(9, 4)) == pytest.approx(1)


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e-30, 1.0, 1e30, 1e150, 1e300])
def test_it_does_not_depend_on_the_scale(scale):
    x = torch.randn(20, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert rankme(x * scale) == pytest.approx(oracle(x), rel=1e-6)
    if 1e-30 <= scale <= 1e30:
        assert rankme((x * scale).float()) == pytest.approx(oracle(x), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.uint8, torch.bool])
def test_other_dtypes_are_read_as_the_values_they_hold(dtype):
    x = (3 * torch.rand(12, 20, generator=torch.Generator().manual_seed(0))).to(dtype)
    assert rankme(x) == pytest.approx(oracle(x), rel=1e-6)


def test_zeros_nothing_and_not_a_number():
    assert rankme(torch.zeros(5, 3)) == 0
    assert math.isnan(rankme(torch.zeros(0, 3)))
    for bad in (math.nan, math.inf, -math.inf):
        x = torch.ones(5, 3)
        x[1, 1] = bad
        assert math.isnan(rankme(x))


@pytest.mark.parametrize("name", ["sigmoid", "relu"])
def test_the_lens_gives_the_same_value(name):
    torch.manual_seed(0)
    activation = {"sigmoid": torch.nn.Sigmoid(), "relu": torch.nn.ReLU()}[name]
    net = torch.nn.Sequential(torch.nn.Linear(64, 96), activation, torch.nn.Linear(96, 80), activation)
    x = net(torch.rand(128, 64)).detach()
    block = Block("a", "activation", x, (80,))
    found = BlockGroups(CoupledProblem([block])).effective_ranks()
    assert found["a"] == found["total"] == pytest.approx(rankme(x), rel=1e-6)
    assert found["a"] == pytest.approx(oracle(x), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float8_e4m3fn])
def test_features_of_every_real_dtype_have_an_effective_rank(dtype):
    x = torch.randint(0, 2, (9, 5), generator=torch.Generator().manual_seed(0)).float()
    assert rankme(x.to(dtype)) == pytest.approx(oracle(x), rel=1e-6)


def test_complex_features_are_refused():
    with pytest.raises(ValueError, match="must be real, found torch.complex64; pass real and imaginary parts"):
        rankme(torch.ones(3, 2, dtype=torch.complex64))

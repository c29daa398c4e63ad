"""The weights of blocks, and the correction for unsampled features."""

import pytest
import torch

from lightning_factorlens.factorization import (
    factorize,
)
from lightning_factorlens.results import Block


def test_with_unit_weighting_a_block_of_large_values_does_not_dominate(planted):
    small_and_loud = planted(r=8, noise=0.5, scales=(1.0, 1000.0, 1.0))
    unit = factorize(small_and_loud, [4], weighting="unit").sse[0]
    raw = factorize(small_and_loud, [4], weighting="raw").sse[0]
    assert unit[0] < raw[0]
    assert unit[1] > raw[1]


def test_a_sampled_block_is_corrected_for():
    g = torch.Generator().manual_seed(0)
    X = torch.rand(50, 4000, generator=g) * torch.rand(50, 1, generator=g)
    whole = factorize([Block("a", "activation", X, (4000,))], [2])
    part = factorize([Block("a", "activation", X[:, ::4].contiguous(), (4000,), sampling_factor=4.0)], [2])
    assert float(4 * part.sse[0]) == pytest.approx(float(whole.sse[0]), rel=0.02)

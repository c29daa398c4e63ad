"""Rows of a factor are placed at the positions of their features."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_factorlens import FactorLens
from lightning_factorlens.config import LensOptions
from lightning_factorlens.plots.grids import MIN_FILLED, factor_maps
from lightning_factorlens.results import Factorization


def factor(W, shape, kept=None):
    rank = W.shape[1]
    F, sse = torch.ones(rank, 3), torch.zeros(1, 1)
    return Factorization((rank,), (F,), ((W,),), sse, ("b",), (1.0,), (0.0,), ((),), 1, "", (shape,), (kept,))


def slow_maps(W, shape, kept, cell):
    """Every kept feature into its cell, one by one."""
    channels, height, width = (1, *shape)[-3:]
    out = np.full((W.shape[1], channels, -(-height // cell), -(-width // cell)), np.nan)
    for k in range(W.shape[1]):
        found = {}
        for row, feature in enumerate(kept.tolist()):
            c, y, x = np.unravel_index(feature, (channels, height, width))
            found.setdefault((c, y // cell, x // cell), []).append(float(W[row, k]))
        for place, values in found.items():
            out[(k, *place)] = np.mean(values)
    return out


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 6), (2, 1, 1)])
def test_without_a_budget_the_values_are_the_factors_own(shape):
    W = torch.randn(torch.Size(shape).numel(), 4)
    found = factor_maps(factor(W, shape), 0, 0)
    np.testing.assert_array_equal(found, W.T.reshape(4, *(1, *shape)[-3:]).numpy())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.floats(0.02, 1), st.integers(0, 99))
def test_with_a_budget_cells_are_means_of_the_kept_features(channels, height, width, fraction, seed):
    g, features = torch.Generator().manual_seed(seed), channels * height * width
    kept = torch.randperm(features, generator=g)[: max(1, int(fraction * features))].sort().values
    W = torch.rand(len(kept), 2, generator=g)
    found = factor_maps(factor(W, (channels, height, width), kept), 0, 0)
    cell = next(c for c in (1, 2, 4, 8, 16) if -(-height // c) == found.shape[2] and -(-width // c) == found.shape[3])
    np.testing.assert_allclose(found, slow_maps(W, (channels, height, width), kept, cell), rtol=1e-5)
    filled = np.isfinite(found[0]).mean()
    assert filled >= MIN_FILLED or found.shape[2:] == (1, 1)
    if cell > 1:  # no coarser than needed
        finer = np.isfinite(slow_maps(W, (channels, height, width), kept, cell // 2)[0]).mean()
        assert finer < MIN_FILLED


@pytest.mark.parametrize("features", [1, 7, 16, 128])
def test_features_without_positions_fill_a_square_in_order(features):
    W = torch.randn(features, 3)
    found = factor_maps(factor(W, (features,)), 0, 0)
    assert abs(found.shape[2] - found.shape[3]) <= 1
    np.testing.assert_array_equal(found.reshape(3, -1)[:, :features], W.T.numpy())
    assert np.isnan(found.reshape(3, -1)[:, features:]).all()
    kept = torch.arange(0, 10 * features, 10)  # with a budget: the kept ones, in order
    np.testing.assert_array_equal(factor_maps(factor(W, (10 * features,), kept), 0, 0), found)


def test_without_shapes_or_with_another_number_of_rows_there_are_no_maps():
    W = torch.ones(6, 2)
    assert factor_maps(replace(factor(W, (2, 3)), shapes=(), kept_features=()), 0, 0) is None
    assert factor_maps(factor(W, (2, 4)), 0, 0) is None
    assert factor_maps(factor(W, (2, 4), torch.arange(5)), 0, 0) is None


def test_the_factorization_of_a_lens_has_the_features_that_a_budget_kept():
    torch.manual_seed(0)
    net, images = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU()), torch.rand(40, 3, 10, 10)
    f = FactorLens(net, LensOptions(ranks=(1, 32), max_neurons_per_layer=60)).observe(images).factorization
    captured = [*images.unbind(1), net(images)]
    assert [torch.Size(shape) for shape in f.shapes] == [x.shape[1:] for x in captured]
    for W, indices, x in zip(f.W[1], f.kept_features, captured):
        kept = x.detach().flatten(1)[:, indices].T
        assert len(indices) == 60
        assert float((kept - W @ f.F[1]).norm() / kept.norm()) < 0.25  # with 60 other features it would be about 1
    assert factor_maps(f, 1, 3).shape[:2] == (32, 6)

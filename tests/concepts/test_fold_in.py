"""Joining a block to a sample factor, against scipy and in edge cases."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from lightning_factorlens.concepts.channels import channel_index, channel_sums
from lightning_factorlens.concepts.fold_in import fold_in, relative_error
from lightning_factorlens.results import Block


def block(samples, signed=False):
    return Block("relu", "activation", samples, (samples.shape[1],), signed=signed)


def joined(samples, F):
    """The factor and the relative error."""
    W, error, norm = fold_in(samples, F)
    return W, relative_error(error, norm)


@pytest.mark.parametrize("seed", range(5))
def test_the_factor_is_the_least_squares_solution_of_scipy(seed):
    g = torch.Generator().manual_seed(seed)
    F = torch.rand(6, 30, generator=g, dtype=torch.float64) + 0.2
    X = torch.randn(30, 17, generator=g, dtype=torch.float64).clamp_min(0)
    W, rel_error = joined(block(X), F)
    expected = np.stack([nnls(F.T.numpy(), X[:, i].numpy())[0] for i in range(17)])
    np.testing.assert_allclose(W.numpy(), expected, atol=1e-6)
    assert rel_error == pytest.approx(np.linalg.norm(X.numpy() - F.T.numpy() @ expected.T) / float(X.norm()), rel=1e-9)


def test_a_signed_block_has_the_free_least_squares_solution():
    g = torch.Generator().manual_seed(0)
    F = torch.rand(4, 20, generator=g, dtype=torch.float64)
    X = torch.randn(20, 9, generator=g, dtype=torch.float64)
    W, _ = joined(block(X, signed=True), F)
    np.testing.assert_allclose(W.T.numpy(), np.linalg.lstsq(F.T.numpy(), X.numpy(), rcond=None)[0], atol=1e-8)


def test_many_features_are_processed_in_chunks():
    g = torch.Generator().manual_seed(0)
    F = torch.rand(3, 10, generator=g)
    X = torch.rand(10, 5000, generator=g)
    W, rel_error = joined(block(X), F)
    last, _ = joined(block(X[:, 4990:]), F)
    torch.testing.assert_close(W[4990:], last, rtol=0, atol=1e-6)
    assert rel_error == pytest.approx(float((X.double() - F.T.double() @ W.T).norm() / X.double().norm()))


@pytest.mark.parametrize("scale", [1e-160, 1e-30, 1e30, 1e200])
def test_the_scale_of_a_block_only_scales_its_factor(scale):
    g = torch.Generator().manual_seed(0)
    F = torch.rand(3, 10, generator=g)
    X = torch.rand(10, 8, generator=g, dtype=torch.float64)
    W, rel_error = joined(block(X), F)
    scaled, same_error = joined(block(X * scale), F)
    torch.testing.assert_close(scaled / scale, W)
    assert same_error == pytest.approx(rel_error)


def test_a_block_of_zeros_has_a_factor_of_zeros_and_no_relative_error():
    W, rel_error = joined(block(torch.zeros(6, 4)), torch.rand(2, 6))
    assert not W.any()
    assert math.isnan(rel_error)


@pytest.mark.parametrize("signed", [False, True])
def test_a_component_of_zeros_uses_no_neuron(signed):
    F = torch.rand(3, 8)
    F[1] = 0
    W, _ = joined(block(torch.rand(8, 5), signed), F)
    assert not W[:, 1].any()
    assert W[:, [0, 2]].any()


def test_equal_components_still_reach_the_smallest_error():
    F = torch.ones(2, 6)
    _, rel_error = joined(block(torch.full((6, 3), 2.0)), F)
    assert rel_error < 1e-6


@pytest.mark.parametrize("kept", [None, torch.tensor([0, 3, 4, 11])])
@pytest.mark.parametrize("shape", [(12,), (3, 4), (2, 2, 3)])
def test_channel_sums_against_reshaping(shape, kept):
    values = torch.rand(5, 12, dtype=torch.float64)
    whole = torch.zeros(5, 12, dtype=torch.float64)
    columns = torch.arange(12) if kept is None else kept
    whole[:, columns] = values[:, columns]
    positions = whole.reshape(5, *shape)
    expected = positions if len(shape) == 1 else positions.sum(1) if len(shape) == 2 else positions.sum((2, 3))
    sums, counts = channel_sums(values[:, columns], shape, kept)
    torch.testing.assert_close(sums, expected)
    assert int(counts.sum()) == len(channel_index(shape, kept)) == len(columns)


def test_nearly_collinear_components_reach_the_error_of_scipy():
    g = torch.Generator().manual_seed(1)
    F = 1 + 0.05 * torch.rand(12, 30, generator=g, dtype=torch.float64)
    X = torch.rand(30, 40, generator=g, dtype=torch.float64)
    W, rel_error = joined(block(X), F)
    residuals = [nnls(F.T.numpy(), X[:, i].numpy())[1] for i in range(40)]
    assert (W >= 0).all()
    assert rel_error <= 1.001 * np.linalg.norm(residuals) / float(X.norm())


def test_a_tiny_error_is_precise():
    g = torch.Generator().manual_seed(0)
    F = torch.rand(4, 30, generator=g, dtype=torch.float64)
    W = torch.rand(50, 4, generator=g, dtype=torch.float64)
    noise = torch.rand(30, 50, generator=g, dtype=torch.float64)
    for size in (1e-2, 1e-4, 1e-8):
        X = (W @ F).T + size * noise
        found, rel_error = joined(block(X), F)
        assert rel_error == pytest.approx(float((X.T - found @ F).norm() / X.norm()), rel=1e-6)

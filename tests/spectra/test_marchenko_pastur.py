"""The edge of the bulk of noise matrices, and the count of added singular values above it."""

import math

import numpy as np
import pytest
import torch

from lightning_factorlens.spectra.marchenko_pastur import bulk_edge, mp_median
from lightning_factorlens.spectra.spectral_summary import squared_singular_values


def noise(b, rows, columns, seed):
    return torch.randn(b, rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("ratio", [0.05, 0.3, 0.7, 1.0])
def test_the_median_agrees_with_quadrature(ratio):
    integrate = pytest.importorskip("scipy.integrate")
    low = (1 - ratio**0.5) ** 2
    high = (1 + ratio**0.5) ** 2
    density = lambda x: math.sqrt(max((high - x) * (x - low), 0)) / (2 * math.pi * ratio * x)  # noqa: E731
    assert integrate.quad(density, max(low, 1e-14), mp_median(ratio), limit=500)[0] == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("shape", [(30, 30), (40, 200), (150, 60)])
def test_noise_has_no_spikes(shape):
    """At any noise level, about one matrix in a thousand has an eigenvalue above the edge."""
    values = squared_singular_values(0.02 * noise(400, *shape, seed=0))
    edges = [bulk_edge(v, shape) for v in values]
    assert sum(e.spikes > 0 for e in edges) <= 6
    assert np.mean([e.variance for e in edges]) == pytest.approx(4e-4, rel=0.02)
    assert np.mean([e.edge for e in edges]) == pytest.approx(float(values.max(1).values.quantile(0.995)), rel=0.15)


@pytest.mark.parametrize("spikes", [1, 3, 8])
def test_planted_spikes_are_counted(spikes):
    X = noise(1, 60, 120, seed=1)[0]
    U, V = torch.linalg.qr(noise(2, 120, spikes, seed=2)).Q
    X = X + 40 * U[:60] @ V.T  # far above the transition at (60·120)^¼
    found = bulk_edge(squared_singular_values(X[None]), (60, 120))
    assert found.spikes == spikes
    assert found.variance == pytest.approx(1, rel=0.2)


def test_pooled_matrices_have_the_edge_of_one_matrix():
    X = noise(9, 64, 32, seed=3)
    assert bulk_edge(squared_singular_values(X), (64, 32)).edge == pytest.approx(
        bulk_edge(squared_singular_values(X[:1]), (64, 32)).edge, rel=0.05
    )


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (torch.ones(9), (1, 9)),
        (torch.ones(0), (30, 30)),
        (torch.zeros(30), (30, 30)),
        (torch.full((30,), math.nan), (30, 40)),
        (torch.ones(3), ()),
    ],
)
def test_the_edge_is_unknown_without_a_bulk(values, shape):
    found = bulk_edge(values, shape)
    assert math.isnan(found.edge)
    assert found.spikes is None

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
    M, N = sorted(shape)
    mu = (math.sqrt(N - 1) + math.sqrt(M)) ** 2
    sigma = math.sqrt(mu) * (1 / math.sqrt(N - 1) + 1 / math.sqrt(M)) ** (1 / 3)
    expected = 4e-4 * (mu + (3.2724 + 13 * (M / N) ** 0.85 / math.sqrt(M)) * sigma)
    assert np.mean([e.edge for e in edges]) == pytest.approx(expected, rel=0.02)
    assert expected > float(values.max(1).values.quantile(0.995))


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


def chi_square_noise(M, N, random):
    """Eigenvalues of a Gaussian matrix: Dumitriu and Edelman (2002), "Matrix models for beta ensembles"."""
    linalg = pytest.importorskip("scipy.linalg")
    diagonal = np.sqrt(random.chisquare(N - np.arange(M)))
    below = np.sqrt(random.chisquare(np.arange(M - 1, 0, -1)))
    squares = diagonal**2
    squares[1:] += below**2
    return torch.from_numpy(linalg.eigvalsh_tridiagonal(squares, diagonal[:-1] * below))


@pytest.mark.parametrize(("M", "N", "b"), [(20, 20, 1), (20, 200, 1), (32, 32, 9), (64, 64, 1)])
def test_false_spikes_are_as_rare_as_stated(M, N, b):
    """1 in 1,000, within a factor of 2 and three standard errors; without the correction 2.1 % for 20 × 20."""
    random = np.random.default_rng(0)
    trials = 3000 // b
    hits = 0
    for _ in range(trials):
        values = torch.cat([chi_square_noise(M, N, random) for _ in range(b)])
        hits += bulk_edge(values, (M, N)).spikes > 0
    assert hits <= 0.002 * trials + 3 * math.sqrt(0.002 * trials)


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1.0, 1e30])
def test_the_edge_scales_with_the_weight(scale):
    X = noise(1, 40, 60, seed=0)
    X[0, :, 0] += 5
    plain = bulk_edge(squared_singular_values(X)[0], (40, 60))
    scaled = bulk_edge(squared_singular_values(scale * X)[0], (40, 60))
    assert scaled.edge == pytest.approx(plain.edge * scale**2, rel=1e-9)
    assert (scaled.spikes, plain.spikes) == (1, 1)

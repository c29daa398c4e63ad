"""Correlation traps against weightwatcher's own fit to the same eigenvalues."""

import contextlib
import io
import sys
import warnings

import numpy as np
import pytest
import torch
from silence import silence

from lightning_factorlens.spectra.correlation_traps import _count_traps, correlation_traps
from lightning_factorlens.spectra.spectral_summary import squared_singular_values


@pytest.fixture(scope="module")
def watcher():
    with silence():
        weightwatcher = pytest.importorskip("weightwatcher")
        yield weightwatcher.WeightWatcher()


def weights(b, rows, columns, heavy, seed=0):
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(b, rows, columns, dtype=torch.float64, generator=generator) * 0.05
    X.view(-1)[torch.randperm(X.numel(), generator=generator)[:heavy]] = 2.0
    return X


CASES = [(1, 40, 80, 0), (1, 40, 80, 2), (1, 200, 100, 5), (9, 32, 64, 3), (1, 128, 128, 2), (9, 24, 24, 0)]


@pytest.mark.parametrize(("b", "rows", "columns", "heavy"), CASES)
def test_traps_equal_those_of_weightwatcher(watcher, b, rows, columns, heavy):
    values = squared_singular_values(weights(b, rows, columns, heavy)).flatten().sort().values.numpy()
    M, N = sorted((rows, columns))
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        spikes, sigma, _, _, bulk_max, _ = watcher.mp_fit(
            values, N, M, b, "", 0, 0, False, False, "", "", 1, True, values, randomize=True
        )
    found = _count_traps(values, M, N)
    assert found.num_traps == spikes
    assert found.rand_bulk_max == pytest.approx(bulk_max, rel=2e-3)
    assert found.rand_sigma_mp == pytest.approx(sigma, rel=2e-2)


def test_large_entries_are_traps_and_structure_is_not():
    assert correlation_traps(weights(1, 100, 200, 0)).num_traps == 0
    assert correlation_traps(weights(1, 100, 200, 4)).num_traps >= 1
    low_rank = torch.outer(torch.randn(100), torch.randn(200))[None] / 20 + weights(1, 100, 200, 0)
    assert squared_singular_values(low_rank)[0, -1] > 5 * squared_singular_values(low_rank)[0, -2]
    assert correlation_traps(low_rank).max_rand_eval < squared_singular_values(low_rank)[0, -1] / 5


def test_few_eigenvalues_are_pooled_from_five_shuffles(monkeypatch):
    counted = []
    module = sys.modules["lightning_factorlens.spectra.correlation_traps"]  # the package has a function of that name
    monkeypatch.setattr(module, "_count_traps", lambda v, M, N: counted.append((len(v), M, N)))
    correlation_traps(weights(1, 30, 50, 0))
    correlation_traps(weights(4, 50, 30, 0))
    assert counted == [(150, 30, 50), (120, 30, 50)]


def test_the_seed_determines_the_result_and_global_random_states_stay():
    torch.manual_seed(0)
    np.random.seed(0)
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()
    X = weights(1, 40, 60, 2)
    assert correlation_traps(X, seed=1) == correlation_traps(X, seed=1) != correlation_traps(X, seed=2)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (torch.ones(3, 4), "shape"),
        (torch.ones(0, 3, 4), "none empty"),
        (torch.zeros(1, 3, 4), "not all zero"),
        (torch.full((1, 3, 4), torch.nan), "finite"),
    ],
)
def test_arguments_are_checked(X, words):
    with pytest.raises(ValueError, match=words):
        correlation_traps(X)

"""Neuron similarity against scikit-learn, closed forms and properties."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from lightning_factorlens import FactorLens
from lightning_factorlens.concepts.similarity import (
    column_cosine,
    first_k_mean,
    layer_similarities,
    similarity_spectrum,
)
from lightning_factorlens.factorization import CoupledProblem, fit
from lightning_factorlens.results import Block


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 999), st.floats(-30, 30), st.booleans())
def test_cosine(neurons, rank, seed, exponent, signed):
    g = torch.Generator().manual_seed(seed)
    O = torch.randn(neurons, rank, generator=g) if signed else torch.rand(neurons, rank, generator=g)
    O[:, torch.rand(rank, generator=g) < 0.2] = 0  # components that use no neuron of this layer
    scale = 10 ** (exponent + torch.randn(rank, generator=g))
    found = column_cosine(O * scale)
    expected = cosine_similarity(O.double().T.numpy())
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert torch.equal(found, found.T)
    assert (found.diagonal() == 1).all()
    assert found.abs().max() <= 1
    values = similarity_spectrum(found)
    assert (values.diff() <= 1e-9).all()
    assert float(values.min()) > -1e-9
    assert float(values.mean()) == pytest.approx(1)
    np.testing.assert_allclose(values.numpy(), np.linalg.eigvalsh(found.numpy())[::-1], atol=1e-9)


def test_values_whose_squares_overflow_or_underflow():
    tiny = torch.tensor([[1e-30, 0.0], [1e-30, 1e-30]])
    assert float(column_cosine(tiny)[0, 1]) == pytest.approx(math.sqrt(0.5))
    huge = torch.tensor([[1e200, 0.0], [1e200, 1e200]], dtype=torch.float64)
    assert float(column_cosine(huge)[0, 1]) == pytest.approx(math.sqrt(0.5))


def test_a_batch_of_factors_equals_each_factor_alone():
    O = torch.rand(3, 20, 5)
    torch.testing.assert_close(column_cosine(O), torch.stack([column_cosine(o) for o in O]))


@pytest.mark.parametrize("off", [0.0, 0.25, 1.0])
def test_spectrum_of_equal_cosines_in_closed_form(off):
    rank = 6
    values = similarity_spectrum(torch.full((rank, rank), off, dtype=torch.float64).fill_diagonal_(1.0))
    expected = [1 + (rank - 1) * off] + [1 - off] * (rank - 1)
    np.testing.assert_allclose(values.numpy(), expected, atol=1e-12)
    for k in range(1, rank + 1):
        assert first_k_mean(values, k) == pytest.approx(np.mean(expected[:k]))
    assert first_k_mean(values, rank) == pytest.approx(1)  # the mean of all eigenvalues is always 1


@pytest.mark.parametrize("k", [0, 7, 1.5, None])
def test_k_must_be_one_of_the_eigenvalues(k):
    with pytest.raises(ValueError, match="k: "):
        first_k_mean(torch.ones(6), k)


def test_components_with_separate_and_with_shared_neurons():
    """Two images, two components: layer ``own`` has a neuron for each, layer ``same`` one for both."""
    F = torch.eye(2).repeat_interleave(4, 1)
    blocks = [
        Block("input/0", "input", F.T @ torch.rand(2, 9), (3, 3)),
        Block("own", "activation", (torch.eye(2) @ F).T.contiguous(), (2,)),
        Block("same", "activation", (torch.ones(2, 2) @ F).T.contiguous(), (2,)),
    ]
    own, same = layer_similarities(fit(CoupledProblem(blocks), (1, 2)))
    assert (own.layer, own.rank, same.layer) == ("own", 2, "same")
    assert own.mean_cosine == pytest.approx(0, abs=1e-3)
    assert same.mean_cosine == pytest.approx(1, abs=1e-3)
    assert (own.mean_top_k, same.mean_top_k) == pytest.approx((1, 2), abs=2e-3)


def test_the_lens_reports_it_for_every_layer_by_depth():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(216, 9),
        torch.nn.ReLU(),
        torch.nn.Linear(9, 3),
    )
    observation = FactorLens(net).observe(torch.rand(40, 1, 8, 8))
    similarities = observation["neuron_similarity"].layers
    assert [s.layer for s in similarities] == list(observation.factorization.block_names[1:])
    for s, W in zip(similarities, observation.factorization.W[3][1:]):
        torch.testing.assert_close(s.cosine, column_cosine(W))
        assert (s.rank, s.k) == (8, 4)
        off = s.cosine[~torch.eye(8, dtype=torch.bool)]
        assert s.mean_cosine == pytest.approx(float(off.mean()))


def test_a_single_component_has_no_mean_cosine():
    (only,) = layer_similarities(fit(CoupledProblem([Block("a", "activation", torch.rand(8, 5), (5,))]), (1,)))
    assert math.isnan(only.mean_cosine)
    assert only.mean_top_k == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_not_a_number_has_no_spectrum(bad):
    matrices = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    matrices[0, 1, 2] = bad
    values = similarity_spectrum(matrices)
    assert values[0].isnan().all()
    assert values[1].tolist() == [1, 1, 1]
    assert math.isnan(first_k_mean(values[0], 2))


def test_a_dead_layer_has_no_similarity():
    blocks = [
        Block("dead", "activation", torch.zeros(8, 5), (5,)),
        Block("alive", "activation", torch.rand(8, 5), (5,)),
    ]
    dead, alive = layer_similarities(fit(CoupledProblem(blocks), (1, 2)))
    assert math.isnan(dead.mean_cosine)
    assert math.isnan(dead.mean_top_k)
    assert math.isfinite(alive.mean_cosine)
    assert math.isfinite(alive.mean_top_k)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_column_that_is_not_finite_has_no_cosine_and_the_others_keep_theirs(value):
    good = torch.rand(20, 4, generator=torch.Generator().manual_seed(0))
    bad = good.clone()
    bad[3, 2] = value
    cosine = column_cosine(bad)
    assert cosine[2].isnan().all() and cosine[:, 2].isnan().all()
    kept = [0, 1, 3]
    np.testing.assert_allclose(cosine[kept][:, kept], column_cosine(good)[kept][:, kept])
    assert math.isnan(first_k_mean(similarity_spectrum(cosine), 1))

"""Random sets, p-values and their correction."""

import itertools

import numpy as np
import pytest
import torch

from lightning_factorlens.concepts.tcav_null import holm, permutation_p_values, random_sets


def test_every_set_is_drawn_equally_often_and_the_global_state_is_left_alone():
    state = torch.get_rng_state()
    sets = random_sets(6, 3, 40_000, seed=0).sort(1).values
    assert torch.equal(state, torch.get_rng_state())
    found, counts = sets.unique(dim=0, return_counts=True)
    assert found.tolist() == [list(chosen) for chosen in itertools.combinations(range(6), 3)]
    expected = 40_000 / 20
    assert float(((counts - expected) ** 2 / expected).sum()) < 43.8  # χ² with 19 degrees of freedom, 0.1 %


def test_p_values_are_those_of_all_sets():
    g = torch.Generator().manual_seed(0)
    numbers = torch.randn(4, 8, generator=g, dtype=torch.float64)
    numbers -= numbers.mean(1, keepdim=True)
    numbers[3] = torch.tensor([1.0, 1, 1, 1, -1, -1, -1, -1])  # many equal means
    sets = torch.tensor(list(itertools.combinations(range(8), 3)))
    means = numbers[:, sets[[0, 17, 30]]].mean(2)
    found = permutation_p_values(numbers, means, 3, 30_000, seed=0)
    null = numbers[:, sets].mean(2).abs()
    for row, k in itertools.product(range(4), range(3)):
        expected = float((null[row] >= means[row, k].abs() - 1e-12).double().mean())
        assert float(found[row, k]) == pytest.approx(expected, abs=0.012)
    assert float(found[3].min()) > 0


def test_holm_is_the_step_down_method():
    g = np.random.default_rng(0)
    p = g.random(30) ** 4
    order = p.argsort()
    expected = np.empty(30)
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (30 - place) * p[index]))
        expected[index] = largest
    found = holm(torch.from_numpy(p).view(5, 6)).flatten().numpy()
    np.testing.assert_allclose(found, expected)
    assert holm(torch.full((2, 2), torch.nan)).isnan().all()

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from made_signals import class_signals, flipped, make_signals

from lightning_factorlens.hierarchy import leading_split, semantic_structure

ANIMALS = {c: "animal" if c in (2, 3, 4, 5, 6, 7) else "vehicle" for c in range(10)}


def grouped_signals(strength, seed=0):
    """Signals of 10 classes whose means differ between animals and vehicles, and otherwise at random."""
    signals, labels = class_signals(n_classes=10, n_per_class=20, seed=seed)
    side = torch.tensor([1.0 if ANIMALS[c] == "animal" else -1.0 for c in range(10)])
    direction = torch.randn(signals.values.shape[1], generator=torch.Generator().manual_seed(seed + 99))
    return make_signals(signals.values + strength * side[labels][:, None] * direction), labels


def test_the_correlation_and_the_exact_test_are_those_of_brute_force():
    signals, labels = grouped_signals(0.4)
    found = semantic_structure(signals, labels, ANIMALS)
    means = np.stack([signals.values[labels == c].double().mean(0).numpy() for c in range(10)])
    mode = np.linalg.svd(means - means.mean(0))[0][:, 0]
    indicator = np.array([ANIMALS[c] == "animal" for c in range(10)], dtype=float)
    r = abs(np.corrcoef(mode, indicator)[0, 1])
    assert math.isclose(found.correlation, r, rel_tol=1e-9)
    others = []
    for chosen in combinations(range(10), 4):
        others.append(abs(np.corrcoef(mode, np.isin(range(10), chosen))[0, 1]))
    assert found.n_groupings == len(others) == 210
    assert found.is_exact
    assert found.p_value == sum(other >= r - 1e-9 for other in others) / 210


def test_a_planted_grouping_is_found_and_a_random_one_is_not():
    signals, labels = grouped_signals(3.0)
    found = semantic_structure(signals, labels, ANIMALS)
    assert found.correlation > 0.95
    assert found.p_value == 1 / 210
    assert semantic_structure(flipped(signals, 1)[0], labels, ANIMALS) == found
    split = leading_split(signals, labels)
    assert {c for c in range(10) if split[str(c)] == "first"} == {0, 1, 8, 9}
    assert semantic_structure(*grouped_signals(3.0, seed=5), split).p_value == 1 / 210
    other = {c: "even" if c % 2 else "odd" for c in range(10)}
    assert semantic_structure(signals, labels, other).p_value > 0.05


def test_many_groupings_are_sampled_and_three_groups_have_a_correlation_ratio():
    signals, labels = class_signals(n_classes=24, n_per_class=5)
    groups = {c: "abc"[c % 3] for c in range(24)}
    found = semantic_structure(signals, labels, groups, permutations=500)
    assert (found.is_exact, found.n_groupings) == (False, 500)
    assert 0.05 < found.p_value <= 1
    exact = semantic_structure(*grouped_signals(1.0), {c: "abc"[c % 3] for c in range(10)})
    assert exact.n_groupings == math.factorial(10) // (24 * 6 * 6)


def test_edge_cases_are_named():
    signals, labels = class_signals(n_classes=3)
    constant = semantic_structure(make_signals(torch.ones(90, 2)), labels, {0: "a", 1: "a", 2: "b"})
    assert math.isnan(constant.correlation) and math.isnan(constant.p_value)
    with pytest.raises(ValueError, match="groups: must name a group for every class, none found for 2"):
        semantic_structure(signals, labels, {0: "a", 1: "b"})
    with pytest.raises(ValueError, match="must be in at least two groups"):
        semantic_structure(signals, labels, {0: "a", 1: "a", 2: "a"})

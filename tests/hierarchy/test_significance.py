from dataclasses import replace

import numpy as np
import pytest
import torch
from made_signals import class_signals, flipped, make_signals

from lightning_factorlens.hierarchy import hierarchy, significance


def with_extremes(signals):
    spread = torch.rand(signals.values.shape, generator=torch.Generator().manual_seed(9))
    return replace(signals, maxima=signals.values + spread, minima=signals.values - spread.flip(0))


@pytest.mark.parametrize("scope", ["layer", "vector"])
@pytest.mark.parametrize("statistic", ["mean", "extremum"])
def test_nothing_but_the_nodes_names_depends_on_the_vectors_signs(scope, statistic):
    signals, labels = class_signals()
    signals = with_extremes(signals)
    signals.values[:, 3] = 0.0
    signals.values[::2, 4], signals.values[1::2, 4] = 1.5, -1.5  # a vector whose mean has no direction
    found = hierarchy(significance(signals, 0.8, scope, statistic=statistic), labels, 0.6)
    assert found.equivalence
    for seed in range(20):
        other_signals, signs = flipped(signals, seed)
        other = hierarchy(significance(other_signals, 0.8, scope, statistic=statistic), labels, 0.6)
        for name in ("significant", "threshold", "signals"):
            assert torch.equal(getattr(found.significance, name), getattr(other.significance, name))
        for name in ("shares", "lower", "upper", "incidence", "verdict"):
            assert torch.equal(getattr(found, name), getattr(other, name))
        assert (found.equivalence, found.hasse, found.order) == (other.equivalence, other.hasse, other.order)
        renamed = [(vector, side * int(signs[vector])) for vector, side in other.nodes]
        differing = [a[0] for a, b in zip(found.nodes, renamed) if a != b]
        assert set(differing) <= {3}  # the two sides of a vector without signals are the same


def test_one_side_depends_on_the_signs():
    signals, labels = class_signals()
    found = hierarchy(significance(signals, 0.8, sides="one"), labels)
    other = hierarchy(significance(flipped(signals, 1)[0], 0.8, sides="one"), labels)
    assert found.class_sets != other.class_sets


@pytest.mark.parametrize("sides", ["both", "one"])
@pytest.mark.parametrize("scope", ["layer", "vector"])
def test_fewer_are_significant_with_a_larger_quantile_and_fewer_belong_with_a_larger_share(scope, sides):
    signals, labels = class_signals()
    previous = None
    for q in (0.0, 0.3, 0.5, 0.77, 0.9, 0.99, 1.0):
        made = significance(signals, q, scope, sides)
        found = [hierarchy(made, labels, p) for p in (0.1, 0.5, 0.75, 1.0)]
        members = [members_of(each) for each in found]
        assert all(fewer <= more for more, fewer in zip(members, members[1:]))
        if previous is not None:
            assert not (made.significant & ~previous[0]).any()
            assert all(fewer <= more for more, fewer in zip(previous[1], members))
        previous = (made.significant, members)
    assert not made.significant.any()


def members_of(found):
    """The pairs of a class and a node that belongs to it."""
    return {(int(c), found.nodes[int(k)]) for c, k in found.incidence.nonzero()}


def test_the_threshold_is_numpys_lower_quantile_and_a_linear_one_selects_the_same():
    signals = make_signals(np.random.default_rng(0).standard_normal((31, 7)))
    values = signals.values.numpy()
    both = np.concatenate([values, -values])
    for q in (0.5, 0.85, 0.9, 0.95):
        found = significance(signals, q)
        assert torch.equal(found.threshold, torch.full((14,), float(np.quantile(both, q, method="lower"))))
        assert int(found.significant.sum()) == (both > np.quantile(both, q)).sum()
        by_vector = significance(signals, q, "vector", "one")
        assert np.array_equal(by_vector.threshold.numpy(), np.quantile(values, q, axis=0, method="lower"))


def test_wrong_arguments_and_signals_are_named():
    signals, _ = class_signals()
    broken = make_signals(signals.values.clone().index_fill_(0, torch.tensor([5, 8]), torch.nan), "conv3")
    for match, changes in {
        r"q: must be a number from 0 to 1, found 1\.5": {"q": 1.5},
        "scope: found 'all'": {"scope": "all"},
        "sides: found 'two'": {"sides": "two"},
        "statistic: 'extremum' needs the maxima": {"statistic": "extremum"},
        "signals: must be of type Signals": {"signals": signals.values},
        "layer 'conv3' has NaN or infinite signals for 2 of 180 images, the first is image 5": {"signals": broken},
    }.items():
        with pytest.raises(ValueError, match=match):
            significance(**({"signals": signals} | changes))


def test_layers_without_images_or_vectors_have_no_significant_nodes():
    assert significance(make_signals(torch.zeros(0, 3))).significant.shape == (0, 6)
    assert significance(make_signals(torch.zeros(4, 0))).significant.shape == (4, 0)

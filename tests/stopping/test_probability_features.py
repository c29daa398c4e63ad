"""The features of a series against a slow version of their formulas, online and resumable."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probability_reference import features as slow_features

from lightning_factorlens.stopping import EpochInfo
from lightning_factorlens.stopping.probability_features import FEATURES, SeriesFeatures, coming_fall

FAST = SeriesFeatures()
VALUES = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40)


def steps(values, infos, through_json=False):
    """The features after every value."""
    state = FAST.start()
    found = []
    for value, info in zip(values, infos):
        state, features = FAST.step(state, value, info)
        if through_json:
            state = json.loads(json.dumps(state))
        found.append(dict(features))
    return found


def infos_of(n, max_epochs=None, first=1):
    return [EpochInfo(epoch, max_epochs=max_epochs) for epoch in range(first, first + n)]


@settings(max_examples=60, deadline=None)
@given(values=VALUES, planned=st.booleans(), first=st.integers(1, 8))
def test_features_equal_their_formulas(values, planned, first):
    max_epochs = 30 if planned else None
    infos = infos_of(len(values), max_epochs, first)
    epochs = [info.epoch for info in infos]
    found = steps(values, infos)
    for n in {1, (len(values) + 1) // 2, len(values)}:
        expected = slow_features(values[:n], epochs[:n], max_epochs)
        assert found[n - 1] == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert list(found[n - 1]) == [name for name in FEATURES if name in expected]


@settings(max_examples=30, deadline=None)
@given(values=VALUES, scale=st.sampled_from([2.0**-20, 1024.0]))
def test_features_read_no_later_value_have_no_unit_and_survive_a_checkpoint(values, scale):
    infos = infos_of(len(values), 40)
    found = steps(values, infos)
    assert steps(values[: len(values) // 2], infos) == found[: len(values) // 2]
    assert steps(values, infos, through_json=True) == found
    scaled = steps([scale * value for value in values], infos)
    for one, other in zip(found, scaled):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_a_constant_series_does_not_rise_and_its_lowest_is_the_first_that_counts(value):
    found = steps([value] * 12, infos_of(12))
    assert {features["rise"] for features in found} == {0.0}
    assert [round(math.exp(features["since"]) - 1) for features in found] == [0] * 5 + list(range(1, 8))


def test_a_single_value_has_finite_features():
    (found,) = steps([2.0], infos_of(1, 1))
    assert found == {"since": 0.0, "rise": 0.0, "share": 1.0, "fall": 0.0}


@pytest.mark.parametrize("max_epochs", [None, -1, 0])
def test_without_a_planned_number_of_epochs_there_is_no_share(max_epochs):
    (found,) = steps([2.0], infos_of(1, max_epochs))
    assert set(found) == {"since", "rise", "fall"}


def test_an_epoch_beyond_the_plan_is_its_end():
    (found,) = steps([2.0], infos_of(1, 10, first=25))
    assert found["share"] == 1.0


@pytest.mark.parametrize(
    ("lr", "lowest", "expected"),
    [
        (None, 0.1, 0.0),
        (0.1, None, 0.0),
        (0.1, 0.1, 0.0),
        (0.1, 0.2, 0.0),  # it only rises
        (0.1, math.inf, 0.0),  # it does not change any more
        (math.inf, 0.1, 0.0),
        (math.nan, 0.1, 0.0),
        (0.1, math.nan, 0.0),
        (0.1, -0.1, 0.0),
        (0.1, 0.0, 1.0),
        (0.1, 1e-9, 1.0),
        (0.1, 0.05, np.log10(2)),
    ],
)
def test_the_coming_fall_is_in_powers_of_ten_and_at_most_one(lr, lowest, expected):
    assert coming_fall(EpochInfo(3, lr=lr, min_future_lr=lowest)) == pytest.approx(expected)

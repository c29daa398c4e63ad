"""The rank that a given error requires, against interpolation by numpy and its properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_factorlens.metrics.rank_curve import rank_curve
from lightning_factorlens.metrics.required_rank import required_rank
from lightning_factorlens.results import RequiredRanks

RANKS = (1, 2, 4, 8, 16, 32)


def curve_of(errors, ranks=RANKS):
    squared = [error**2 for error in errors]
    return rank_curve(ranks, squared, squared)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.001, 1), min_size=6, max_size=6, unique=True), st.floats(0.01, 0.99))
def test_it_is_the_interpolation_in_log_rank(errors, tau):
    errors = sorted(errors, reverse=True)
    found = required_rank(curve_of(errors), tau)
    assert found.tau == tau
    assert found.is_lower_bound == (errors[-1] > tau)
    expected = np.exp(np.interp(tau, errors[::-1], np.log(RANKS[::-1])))  # constant beyond both ends
    assert found.rank == pytest.approx(expected, rel=1e-6)


def test_the_largest_rank_is_a_lower_bound_where_the_curve_never_comes_down():
    found = required_rank(curve_of((0.9, 0.8, 0.7, 0.6, 0.55, 0.5)), 0.3)
    assert (found.rank, found.is_lower_bound) == (32.0, True)


def test_the_smallest_rank_where_the_curve_starts_below():
    found = required_rank(curve_of((0.2, 0.1, 0.05, 0.04, 0.03, 0.02)), 0.3)
    assert (found.rank, found.is_lower_bound) == (1.0, False)


def test_a_rank_that_was_tried_is_exact():
    found = required_rank(curve_of((0.9, 0.5, 0.25, 0.1, 0.05, 0.02)), 0.25)
    assert found.rank == pytest.approx(4)


@pytest.mark.parametrize("tau", [0, 1, -0.1, 1.5, float("nan")])
def test_a_threshold_outside_0_and_1_is_refused(tau):
    with pytest.raises(ValueError, match="a relative error lies between 0 and 1, found"):
        required_rank(curve_of((0.9, 0.5, 0.25, 0.1, 0.05, 0.02)), tau)


def test_a_curve_that_holds_nan_has_no_rank():
    found = required_rank(rank_curve((1, 2, 4), (0.8, float("nan"), 0.01), (1.0, 1.0, 1.0)), 0.3)
    assert np.isnan(found.rank)
    values = list(RequiredRanks((found,)).values())
    assert len(values) == 2
    assert all(np.isnan(value.value) for value in values)


@pytest.mark.parametrize("errors", [(np.inf, np.inf, np.inf), (np.inf, 0.5, 0.01), (0.8, np.inf, 0.01)])
def test_a_curve_that_holds_infinity_has_no_rank(errors):
    assert np.isnan(required_rank(rank_curve((1, 2, 4), errors, (1.0, 1.0, 1.0)), 0.3).rank)

"""Smoothing against its formula, and one smoothing for a tree of rules."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_factorlens.stopping import AfterWarmup, Patience, Smoothed, Smoothing, replay

HALF = Smoothing(weight=0.5)


def test_smoothing_equals_its_formula():
    c = np.random.default_rng(0).normal(size=40)
    s = [c[0]]
    for t in range(1, 40):
        s.append(0.5 * np.median(c[max(0, t - 2) : t + 1]) + 0.5 * s[-1])
    rule = Patience(99, smoothing=Smoothing(window=3, weight=0.5))
    assert [d.score for d in replay(rule, c.tolist())] == pytest.approx(s)
    assert [d.score for d in replay(Patience(99), c.tolist())] == c.tolist()


@settings(max_examples=40, deadline=None)
@given(series=st.lists(st.one_of(st.floats(0.1, 5), st.just(math.nan)), min_size=1, max_size=30))
def test_smoothed_equals_the_rule_on_the_smoothed_series(series):
    finite = [v for v in series if math.isfinite(v)]
    state, smoothed = HALF.start(), []
    for value in finite:
        state, score = HALF.step(state, value)
        smoothed.append(score)
    expected = [d.stop for d in replay(Patience(2), smoothed)]
    found = [d.stop for d, value in zip(replay(Smoothed(Patience(2), HALF), series), series) if math.isfinite(value)]
    assert found == expected


def test_the_smoothing_goes_on_where_the_wrapped_rule_starts_anew():
    """A low outlier in the first measurement after the warm-up is a minimum only without the earlier values."""
    series = [4.0, 4.0, 4.0, 1.0, 3.9, 3.0, 2.4, 2.2, 1.9]
    inside = replay(AfterWarmup(Patience(4, smoothing=HALF), 3), series)
    outside = replay(Smoothed(AfterWarmup(Patience(4), 3), HALF), series)
    assert (inside[-1].best_epoch, any(d.stop for d in inside)) == (4, True)
    assert (outside[-1].best_epoch, any(d.stop for d in outside)) == (9, False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Smoothing(0), "window: must be a whole number ≥ 1, found 0"),
        (lambda: Smoothing(weight=0), "weight: must be above 0 and at most 1, found 0"),
        (lambda: Smoothed(0.5), r"rule: must be a rule such as Patience\(\), found 0\.5"),
    ],
)
def test_an_error_names_the_wrong_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()

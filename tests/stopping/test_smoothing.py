"""Smoothing against its formula, and one smoothing for a tree of rules."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_factorlens.stopping import AfterWarmup, Patience, Smoothed, Smoothing, default_rule, replay

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


def first_stop(rule, series):
    for number, decision in enumerate(replay(rule, series), 1):
        if decision.stop:
            return number, decision.best_epoch
    return None


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_plateau_after_a_jump_is_no_improvement(scale):
    series = [scale * 3.0] * 6 + [scale] * 80
    assert first_stop(Patience(10), series) == (17, 7)
    assert first_stop(default_rule(), series) == (18, 8)


@pytest.mark.parametrize("noise", [1e-9, 1e-5])
def test_a_plateau_with_little_noise_stops_when_plain_patience_does(noise):
    """Before, the mean took 31 and 18 measurements to come within the noise, and each was an improvement."""
    plain, smoothed = [], []
    for seed in range(16):
        level = 1.0 + noise * np.random.default_rng(seed).random(120)
        series = [3.0] * 6 + level.tolist()
        plain.append(first_stop(Patience(10), series)[0])
        smoothed.append(first_stop(default_rule(), series)[0])
    assert np.mean(smoothed) == pytest.approx(np.mean(plain), abs=3)


def test_only_repeated_values_end_the_memory_of_the_mean():
    for window in (1, 3, 5):
        smoothing = Smoothing(window, 0.25)
        state = smoothing.start()
        for value in (4.0, 4.0, 4.0, 2.0, 2.01, 2.0, 2.01):
            state, smoothed = smoothing.step(state, value)
            assert smoothed == 4.0 or 2.01 < smoothed < 4.0
        for _ in range(window):
            state, smoothed = smoothing.step(state, 2.01)
        assert smoothed == pytest.approx(2.01, abs=1e-12)


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


@pytest.mark.parametrize(
    ("rule", "is_smoothed"),
    [
        (Patience(patience=2), False),
        (Patience(patience=2, smoothing=Smoothing(weight=0.5)), True),
        (Smoothed(Patience(patience=2), Smoothing(weight=0.5)), True),
        (default_rule(), True),
    ],
)
def test_a_reason_says_that_its_numbers_are_smoothed(rule, is_smoothed):
    values = [3.0, 2.5, 2.2, 2.0, 1.8, 1.6, 1.0, *[1.5] * 12]
    assert replay(rule, values)[-1].reason.startswith("smoothed: no value below") == is_smoothed

"""BestEpochBehind against a slow version of its formula, on series with and without gaps."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probability_reference import features, probability

from lightning_factorlens.stopping import BestEpochBehind, EpochInfo, Patience, default_rule
from lightning_factorlens.stopping.probability_model import MODEL_FILE, PLANNED, UNPLANNED

NUMBERS = json.loads(MODEL_FILE.read_text(encoding="utf-8"))["targets"]
VALUES = st.lists(st.one_of(st.floats(0, 5, width=32), st.sampled_from([math.nan, math.inf])), min_size=1, max_size=30)


def decisions_of(rule, series, max_epochs=None, through_json=False):
    """The decision after every value."""
    state = rule.start()
    found = []
    for epoch, value in enumerate(series, start=1):
        state, decision = rule.step(state, value, EpochInfo(epoch, max_epochs=max_epochs))
        if through_json:
            state = json.loads(json.dumps(state))
        found.append(decision)
    return found


def stated(rule, series, max_epochs=None, through_json=False):
    return [decision.probability for decision in decisions_of(rule, series, max_epochs, through_json)]


@settings(max_examples=40, deadline=None)
@given(series=VALUES, target=st.sampled_from(["loss", "accuracy"]), planned=st.booleans())
def test_the_probability_equals_its_formula_and_gaps_have_none(series, target, planned):
    max_epochs = 40 if planned else None
    rule = BestEpochBehind(default_rule(), target=target)
    values, epochs = [], []
    for epoch, (value, found) in enumerate(zip(series, stated(rule, series, max_epochs)), start=1):
        if not math.isfinite(value):
            assert found is None
            continue
        values.append(value)
        epochs.append(epoch)
        numbers = NUMBERS[target][PLANNED if planned else UNPLANNED]
        assert found == pytest.approx(probability(numbers, features(values, epochs, max_epochs)), rel=1e-8, abs=1e-12)
        assert 0 <= found <= 1


@settings(max_examples=20, deadline=None)
@given(series=VALUES, later=VALUES)
def test_the_probability_reads_no_later_value_and_survives_a_checkpoint(series, later):
    rule = BestEpochBehind(default_rule())
    found = stated(rule, series, 60)
    assert stated(rule, [*series, *later], 60)[: len(series)] == found
    assert stated(rule, series, 60, through_json=True) == found


@settings(max_examples=20, deadline=None)
@given(series=VALUES)
def test_which_epoch_is_kept_is_the_wrapped_rules_choice(series):
    inner = Patience(3)
    plain = [(decision.best_epoch, decision.stop) for decision in decisions_of(inner, series)]
    wrapped = decisions_of(BestEpochBehind(inner), series)
    with_threshold = decisions_of(BestEpochBehind(inner, min_probability=0.7), series)
    assert [(decision.best_epoch, decision.stop) for decision in wrapped] == plain
    assert [decision.best_epoch for decision in with_threshold] == [epoch for epoch, _ in plain]
    for decision in with_threshold:
        assert decision.stop == (decision.probability is not None and decision.probability >= 0.7)


def test_a_lasting_rise_makes_it_more_probable_and_a_new_low_less():
    rising = [2.0, 1.8, 1.5, 1.3, 1.1, 1.0, 0.98] + [1.0 + 0.05 * k for k in range(10)]
    found = stated(BestEpochBehind(default_rule()), [*rising, 0.1])
    assert found[6:17] == sorted(found[6:17])
    assert found[16] > 0.8 > found[17]


@pytest.mark.parametrize("max_epochs", [None, -1, 1, 100])
def test_constant_and_single_values_have_a_probability(max_epochs):
    for series in ([1.0], [0.0], [1.0] * 20, [0.0] * 20):
        for epoch, found in enumerate(stated(BestEpochBehind(default_rule()), series, max_epochs), start=1):
            is_last = max_epochs is not None and 0 < max_epochs <= epoch
            assert found == 1 if is_last else 0 < found < 1


def test_a_series_of_gaps_has_no_probability_and_does_not_stop():
    decisions = decisions_of(BestEpochBehind(Patience(1), min_probability=0.01), [math.nan] * 5, 5)
    assert {(decision.probability, decision.stop, decision.best_epoch) for decision in decisions} == {
        (None, False, None)
    }


def test_a_threshold_is_reached_exactly_and_named_in_the_reason():
    series = [1.0] * 12
    last = stated(BestEpochBehind(Patience(99)), series)[-1]
    decision = decisions_of(BestEpochBehind(Patience(99), min_probability=last), series)[-1]
    assert decision.stop
    assert f"min_probability is {last:.0%}" in decision.reason


@pytest.mark.parametrize("value", [0, 1, -0.5, 95, "0.9", True, math.nan])
def test_a_threshold_outside_of_its_range_is_refused(value):
    with pytest.raises(ValueError, match="min_probability: must be a number between 0 and 1"):
        BestEpochBehind(Patience(1), min_probability=value)


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="target: .*'loss'.*'accuracy'"):
        BestEpochBehind(Patience(1), target="f1")


def test_at_the_last_planned_epoch_the_best_one_is_certainly_behind_and_nothing_is_stopped_by_that():
    falling = [2.0 - 0.05 * epoch for epoch in range(20)]
    decisions = decisions_of(BestEpochBehind(default_rule(), min_probability=0.99), falling, max_epochs=20)
    assert decisions[-2].probability < 0.9
    assert decisions[-1].probability == 1
    assert "estimated probability of 100%" in decisions[-1].reason
    assert not any(decision.stop for decision in decisions)

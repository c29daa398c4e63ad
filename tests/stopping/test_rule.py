"""Properties of every rule: it reads only past values, and its state is plain and never modified."""

import copy
import io
import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_factorlens.stopping import (
    AfterAnnealing,
    AfterWarmup,
    AllOf,
    AnyOf,
    BestEpochBehind,
    GeneralizationLoss,
    MannKendall,
    Maximize,
    MinEpochs,
    OnMetric,
    Patience,
    Plateau,
    ScheduledPatience,
    Smoothing,
    default_rule,
    epoch_infos,
    replay,
)

SMOOTH = Smoothing(window=3, weight=0.5)
RULES = [
    Patience(2),
    Patience(3, min_delta=0.1, smoothing=SMOOTH),
    Plateau(3, fraction=0.1),
    MannKendall(0.6),
    AllOf([Patience(1), Plateau(2, smoothing=SMOOTH)]),
    AnyOf([MannKendall(0.9), OnMetric(Patience(2), "other")]),
    Maximize(Patience(2)),
    MinEpochs(Patience(1), 6),
    AfterWarmup(Patience(2), 2),
    AfterAnnealing(Patience(2), patience=2),
    AfterAnnealing(AfterWarmup(AnyOf([Plateau(2), OnMetric(MannKendall(0.5), "other")]))),
    ScheduledPatience(2),
    default_rule(),
    BestEpochBehind(Patience(2)),
    BestEpochBehind(default_rule("loss"), 0.6, "loss"),
]
VALUES = st.one_of(st.floats(-5, 5, width=16), st.just(math.nan), st.just(math.inf))


@st.composite
def runs(draw):
    n = draw(st.integers(1, 25))
    several = lambda values: draw(st.lists(values, min_size=n, max_size=n))  # noqa: E731
    lrs = several(st.sampled_from([1.0, 0.5, 0.1, 0.001])) if draw(st.booleans()) else None
    series, other = several(VALUES), several(VALUES)
    return series, epoch_infos(n, lrs, draw(st.booleans()), {"other": other})


def comparable(decisions):
    """NaN scores compare as equal by their text."""
    return [(d.stop, d.best_epoch, repr(d.score), d.reason) for d in decisions]


@pytest.mark.parametrize("rule", RULES, ids=lambda r: type(r).__name__)
@settings(max_examples=40, deadline=None)
@given(run=runs(), cut=st.integers(0, 25))
def test_a_prefix_gets_the_decisions_of_the_whole_series(rule, run, cut):
    series, infos = run
    whole = replay(rule, series, infos)
    assert comparable(replay(rule, series[:cut], infos[:cut])) == comparable(whole[:cut])
    best = [d.best_epoch for d in whole]
    assert all(b is None or b <= info.epoch for b, info in zip(best, infos))
    found = [b for b in best if b is not None]
    assert found == sorted(found)
    assert all(math.isfinite(series[b - 1]) or "other" in repr(rule) for b in found)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: type(r).__name__)
@settings(max_examples=25, deadline=None)
@given(run=runs(), cut=st.integers(0, 25))
def test_states_are_plain_never_modified_and_continue_from_a_checkpoint(rule, run, cut):
    series, infos = run
    state, decisions = rule.start(), []
    for i, (value, info) in enumerate(zip(series, infos)):
        if i == cut:
            file = io.BytesIO()
            torch.save(state, file)
            file.seek(0)
            state = torch.load(file, weights_only=True)
            assert json.loads(json.dumps(state)) == state
        before = copy.deepcopy(state)
        new, decision = rule.step(state, value, info)
        assert state == before
        state = new
        decisions.append(decision)
    assert comparable(decisions) == comparable(replay(rule, series, infos))


@pytest.mark.parametrize(
    "rule", [Patience(2), Patience(3, smoothing=SMOOTH), Plateau(3), MannKendall(0.6), default_rule()], ids=repr
)
@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.one_of(st.floats(-5, 5), st.sampled_from([math.nan, math.inf, -math.inf])), max_size=25))
def test_a_measurement_without_a_value_changes_nothing(rule, values):
    whole = replay(rule, values)
    epochs = [i for i, v in enumerate(values, 1) if math.isfinite(v)]
    finite = [v for v in values if math.isfinite(v)]
    alone = replay(rule, finite, epoch_infos(len(finite), epochs=epochs)) if finite else []
    assert comparable([whole[i - 1] for i in epochs]) == comparable(alone)
    for value, decision in zip(values, whole):
        if not math.isfinite(value):
            assert not decision.stop
            assert math.isnan(decision.score)


@settings(max_examples=80, deadline=None)
@given(
    data=st.data(),
    series=st.lists(st.one_of(st.floats(0.1, 5), st.just(math.nan)), min_size=1, max_size=30),
    schedule_known=st.booleans(),
)
def test_the_best_epoch_is_always_one_whose_checkpoint_exists(data, series, schedule_known):
    """Only the newest measurement can become the best: earlier checkpoints have been overwritten."""
    rates = st.sampled_from([1.0, 0.5, 0.1, 0.001])
    lrs = data.draw(st.lists(rates, min_size=len(series), max_size=len(series)))
    infos = epoch_infos(len(series), lrs, schedule_known)
    for rule in (
        default_rule(),
        AfterAnnealing(Patience(2), while_waiting=GeneralizationLoss(0.1, 2)),
        GeneralizationLoss(0.3, 2),
    ):
        kept = None
        for info, decision in zip(infos, replay(rule, series, infos)):
            assert decision.best_epoch in (kept, info.epoch)
            kept = decision.best_epoch


def test_a_wrapper_rejects_what_is_no_rule():
    with pytest.raises(ValueError, match=r"rule: must be a rule such as Patience\(\), found None"):
        MinEpochs(None, 3)

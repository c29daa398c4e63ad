"""What the default rule is made of beyond patience: a rise that counts, one smoothing for all, a rule for the meanwhile."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_factorlens.stopping import (
    AfterAnnealing,
    AfterWarmup,
    GeneralizationLoss,
    Patience,
    Smoothed,
    Smoothing,
    default_rule,
    epoch_infos,
    replay,
)

HALF = Smoothing(weight=0.5)
SERIES = st.lists(st.one_of(st.floats(0.1, 5), st.just(math.nan)), min_size=1, max_size=30)
RATES = st.sampled_from([1.0, 0.5, 0.1, 0.001])


@settings(max_examples=60, deadline=None)
@given(series=st.lists(st.floats(-3, 3), min_size=1, max_size=30), share=st.floats(0, 1), patience=st.integers(1, 4))
def test_risen_is_its_definition(series, share, patience):
    """Against the definition on whole arrays: no state, no loop over looks but this one."""
    lowest = np.minimum.accumulate(series)
    within = np.array(series) <= lowest + share * np.abs(lowest)
    for t, verdict in enumerate(replay(GeneralizationLoss(share, patience), series), 1):
        assert verdict.best_epoch == 1 + np.flatnonzero(within[:t])[-1]
        assert verdict.stop == (t >= patience and not within[max(0, t - patience) : t].any())


def test_risen_forgives_what_creeps_and_stops_what_rises():
    creeping = [1.0, 1.05, 1.1, 1.15, 1.19] + [1.19] * 20
    assert not any(v.stop for v in replay(GeneralizationLoss(0.2, 5), creeping))
    assert replay(GeneralizationLoss(0.2, 5), creeping)[-1].best_epoch == 25
    rising = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
    verdicts = replay(GeneralizationLoss(0.2, 3), rising)
    assert [v.stop for v in verdicts].index(True) + 1 == 6
    assert verdicts[5].best_epoch == 3
    assert "1.5 is above 20% over the lowest, 1, for 3 looks, patience is 3" in verdicts[5].reason


@settings(max_examples=40, deadline=None)
@given(series=SERIES)
def test_smoothed_is_the_rule_on_the_smoothed_series(series):
    there = [v for v in series if math.isfinite(v)]
    state, smooth = HALF.start(), []
    for value in there:
        state, s = HALF.step(state, value)
        smooth.append(s)
    expected = [v.stop for v in replay(Patience(2), smooth)]
    found = [v.stop for v, value in zip(replay(Smoothed(Patience(2), HALF), series), series) if math.isfinite(value)]
    assert found == expected


def test_one_smoothing_goes_on_where_the_rule_inside_begins_anew():
    """A spike downwards on the first look that counts is no minimum for a smoothing that knows what came before."""
    series = [4.0, 4.0, 4.0, 1.0, 3.9, 3.0, 2.4, 2.2, 1.9]
    alone = replay(AfterWarmup(Patience(4, smoothing=HALF), 3), series)
    whole = replay(Smoothed(AfterWarmup(Patience(4), 3), HALF), series)
    assert (alone[-1].best_epoch, any(v.stop for v in alone)) == (4, True)
    assert (whole[-1].best_epoch, any(v.stop for v in whole)) == (9, False)


def test_a_rule_for_the_meanwhile_decides_while_the_rate_is_to_fall_and_only_then():
    n = 20
    rates = [1.0] * 12 + [0.001] * 8
    memorises = [3.0, 2.0, 1.0, 1.1, 1.5, 2.0, 2.5] + [3.0] * 13
    rule = AfterAnnealing(Patience(2), while_waiting=GeneralizationLoss(0.2, 3))
    verdicts = replay(rule, memorises, epoch_infos(n, rates))
    assert [v.stop for v in verdicts].index(True) + 1 == 7
    assert verdicts[6].best_epoch == 4
    assert "will fall to 0.001; 2.5 is above" in verdicts[6].reason
    learns = [3 - t / 10 for t in range(12)] + [1.0, 1.2, 1.3, 1.4] + [1.5] * 4
    verdicts = replay(rule, learns, epoch_infos(n, rates))
    assert [v.best_epoch for v in verdicts[:12]] == list(range(1, 13))
    assert [v.stop for v in verdicts].index(True) + 1 == 15, "patience once the rate has fallen"
    constant = replay(rule, memorises, epoch_infos(n, [0.1] * n))
    assert [v.stop for v in constant].index(True) + 1 == 5, "a constant rate is not waited for"


@settings(max_examples=80, deadline=None)
@given(data=st.data(), series=SERIES, planned=st.booleans())
def test_what_is_kept_is_always_a_look_whose_checkpoint_is_there(data, series, planned):
    """Only the newest look can become the best: an older one has been overwritten."""
    rates = data.draw(st.lists(RATES, min_size=len(series), max_size=len(series)))
    looks = epoch_infos(len(series), rates, planned)
    for rule in (
        default_rule(),
        AfterAnnealing(Patience(2), while_waiting=GeneralizationLoss(0.1, 2)),
        GeneralizationLoss(0.3, 2),
    ):
        held = None
        for look, verdict in zip(looks, replay(rule, series, looks)):
            assert verdict.best_epoch in (held, look.epoch)
            held = verdict.best_epoch


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GeneralizationLoss(-0.1), r"share: must be a number ≥ 0, found -0\.1"),
        (lambda: GeneralizationLoss(0.1, 0), "patience: must be a whole number ≥ 1, found 0"),
        (
            lambda: AfterAnnealing(Patience(), while_waiting=GeneralizationLoss),
            r"meanwhile: must be a rule such as Risen\(\) or None",
        ),
        (lambda: Smoothed(0.5), r"rule: must be a rule such as Patience\(\), found 0\.5"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

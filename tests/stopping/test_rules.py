"""Rules: they see only the past, their state is plain, and each does what its formula says."""

import copy
import io
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.callbacks import EarlyStopping
from scipy.stats import kendalltau

from lightning_factorlens.stopping import (
    AfterAnnealing,
    AfterWarmup,
    AllOf,
    AnyOf,
    MannKendall,
    Maximize,
    MinEpochs,
    OnMetric,
    Patience,
    Plateau,
    Smoothing,
    default_rule,
    epoch_infos,
    replay,
)
from lightning_factorlens.stopping.turning_point import EXACT, kendall_tail

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
    default_rule(),
]
VALUES = st.one_of(st.floats(-5, 5, width=16), st.just(math.nan), st.just(math.inf))


@st.composite
def runs(draw):
    n = draw(st.integers(1, 25))
    several = lambda values: draw(st.lists(values, min_size=n, max_size=n))  # noqa: E731
    rates = several(st.sampled_from([1.0, 0.5, 0.1, 0.001])) if draw(st.booleans()) else None
    series, other = several(VALUES), several(VALUES)
    return series, epoch_infos(n, rates, draw(st.booleans()), {"other": other})


def key(verdicts):
    return [(v.stop, v.best_epoch, repr(v.score), v.reason) for v in verdicts]


@pytest.mark.parametrize("rule", RULES, ids=lambda r: type(r).__name__)
@settings(max_examples=40, deadline=None)
@given(run=runs(), cut=st.integers(0, 25))
def test_a_prefix_gets_the_verdicts_of_the_whole(rule, run, cut):
    series, looks = run
    whole = replay(rule, series, looks)
    assert key(replay(rule, series[:cut], looks[:cut])) == key(whole[:cut])
    best = [v.best_epoch for v in whole]
    assert all(b is None or b <= look.epoch for b, look in zip(best, looks))
    found = [b for b in best if b is not None]
    assert found == sorted(found)
    assert all(math.isfinite(series[b - 1]) or "other" in repr(rule) for b in found)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: type(r).__name__)
@settings(max_examples=25, deadline=None)
@given(run=runs(), cut=st.integers(0, 25))
def test_states_are_plain_never_changed_and_go_on_from_a_checkpoint(rule, run, cut):
    series, looks = run
    state, verdicts = rule.start(), []
    for i, (value, look) in enumerate(zip(series, looks)):
        if i == cut:
            file = io.BytesIO()
            torch.save(state, file)
            file.seek(0)
            state = torch.load(file, weights_only=True)
            assert json.loads(json.dumps(state)) == state
        before = copy.deepcopy(state)
        new, verdict = rule.step(state, value, look)
        assert state == before
        state = new
        verdicts.append(verdict)
    assert key(verdicts) == key(replay(rule, series, looks))


@pytest.mark.parametrize(
    "rule", [Patience(2), Patience(3, smoothing=SMOOTH), Plateau(3), MannKendall(0.6), default_rule()], ids=repr
)
@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.one_of(st.floats(-5, 5), st.sampled_from([math.nan, math.inf, -math.inf])), max_size=25))
def test_a_look_without_a_value_changes_nothing(rule, values):
    whole = replay(rule, values)
    epochs = [i for i, v in enumerate(values, 1) if math.isfinite(v)]
    there = [v for v in values if math.isfinite(v)]
    alone = replay(rule, there, epoch_infos(len(there), epochs=epochs)) if there else []
    assert key([whole[i - 1] for i in epochs]) == key(alone)
    for value, verdict in zip(values, whole):
        if not math.isfinite(value):
            assert not verdict.stop
            assert math.isnan(verdict.score)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(-3, 3, width=16), min_size=1, max_size=30),
    patience=st.integers(1, 5),
    min_delta=st.sampled_from([0.0, 0.25, 1.0]),
)
def test_patience_is_lightnings(values, patience, min_delta):
    stock = EarlyStopping("x", patience=patience, min_delta=min_delta)
    expected = [stock._evaluate_stopping_criteria(torch.tensor(v, dtype=torch.float64))[0] for v in values]
    assert [v.stop for v in replay(Patience(patience, min_delta), values)] == expected


def test_the_best_look_is_the_first_with_the_lowest_score():
    series = [3.0, 1.0, 2.0, 1.0, 0.5, 4.0]
    assert [v.best_epoch for v in replay(Patience(5), series)] == [1, 2, 2, 2, 5, 5]
    assert [v.best_epoch for v in replay(Maximize(Patience(5)), series)] == [1, 1, 1, 1, 1, 6]


def test_smoothing_is_its_formula():
    c = np.random.default_rng(0).normal(size=40)
    s = [c[0]]
    for t in range(1, 40):
        s.append(0.5 * np.median(c[max(0, t - 2) : t + 1]) + 0.5 * s[-1])
    assert [v.score for v in replay(Patience(99, smoothing=SMOOTH), c.tolist())] == pytest.approx(s)
    assert [v.score for v in replay(Patience(99), c.tolist())] == c.tolist()


@pytest.mark.parametrize("share", [0.2, 0.02, 0.001])
def test_levelling_off_stops_an_exponential_where_its_closed_form_says(share):
    """c_t = qᵗ: the last w looks brought (q^{t−w} − qᵗ) / (q − qᵗ) of the fall."""
    q, w = 0.8, 4
    verdicts = replay(Plateau(w, share), [q**t for t in range(1, 61)])
    expected = next(t for t in range(w + 1, 61) if (q ** (t - w) - q**t) <= share * (q - q**t))
    assert [v.stop for v in verdicts].index(True) + 1 == expected


def test_levelling_off_forgets_units_and_stops_what_never_improves():
    falling = [math.exp(-t / 5) + 0.01 * math.sin(9 * t) for t in range(60)]
    scaled = [1000 * v - 7 for v in falling]
    rule = Plateau(5, 0.03, SMOOTH)
    assert [v.stop for v in replay(rule, falling)] == [v.stop for v in replay(rule, scaled)]
    assert [v.stop for v in replay(Plateau(3), [1.0, 2, 3, 4, 5])] == [False, False, False, True, True]


@pytest.mark.parametrize("n", [2, 3, 5, 9, 17, EXACT])
def test_the_exact_distribution_is_scipys(n):
    g = np.random.default_rng(n)
    for order in (np.arange(n), np.arange(n)[::-1], *(g.permutation(n) for _ in range(6))):
        S = sum(int(np.sign(order[j] - order[i])) for j in range(n) for i in range(j))
        expected = kendalltau(np.arange(n), order, method="exact", alternative="greater").pvalue
        assert kendall_tail(n, S) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_the_normal_tail_goes_on_where_the_exact_one_ends():
    for z in (0.5, 1.5, 3.0):
        n = EXACT
        S = round(z * math.sqrt(n * (n - 1) * (2 * n + 5) / 18))
        S += (S - n * (n - 1) // 2) % 2
        sigma = math.sqrt((n + 1) * n * (2 * n + 7) / 18)
        T = round(S / math.sqrt(n * (n - 1) * (2 * n + 5) / 18) * sigma)
        assert kendall_tail(n + 1, T) == pytest.approx(kendall_tail(n, S), rel=0.15)


def test_a_turning_point_keeps_its_confidence_on_noise_and_finds_a_turn():
    g = np.random.default_rng(0)
    alarms = sum(any(v.stop for v in replay(MannKendall(0.9), g.normal(size=60).tolist())) for _ in range(300))
    assert alarms <= 0.1 * 300
    t = np.arange(60)
    for seed in range(20):
        turn = np.abs(t - 20) / 10 + np.random.default_rng(seed).normal(scale=0.1, size=60)
        verdicts = replay(MannKendall(0.95), turn.tolist())
        stop = [v.stop for v in verdicts].index(True) + 1
        assert 25 <= stop <= 40
        assert abs(verdicts[stop - 1].best_epoch - 21) <= 3
    falling = (50 - t / 2 + g.normal(size=60)).tolist()
    assert not any(v.stop for v in replay(MannKendall(0.95), falling))


def test_combinations():
    series, looks = [1.0, 2, 3, 4], epoch_infos(4, others={"other": [4.0, 3, 2, 3]})
    a, b = Patience(1), OnMetric(Patience(1), "other")
    stops = lambda rule: [v.stop for v in replay(rule, series, looks)]  # noqa: E731
    assert stops(a) == [False, True, True, True]
    assert stops(b) == [False, False, False, True]
    assert stops(AllOf([a, b])) == stops(b)
    assert stops(AnyOf([b, a])) == stops(a)
    assert replay(AnyOf([b, a]), series, looks)[2].best_epoch == 3
    assert AnyOf([b, MinEpochs(OnMetric(a, "third"), 2)]).signals == ("other", "third")
    assert "other: improved to 3" in replay(AllOf([a, b]), series, looks)[1].reason
    assert stops(OnMetric(Patience(1), "nobody")) == [False] * 4


def cosine(n):
    return [0.5 * (1 + math.cos(math.pi * t / n)) for t in range(n)]


RISING = [1.0 + t for t in range(40)]


def test_no_stop_while_a_known_schedule_has_lower_rates_to_come():
    n = 40
    verdicts = replay(AfterAnnealing(Patience(2), floor=0.05), RISING, epoch_infos(n, cosine(n)))
    first = next(t for t, rate in enumerate(cosine(n), 1) if rate <= 0.05)
    assert [v.stop for v in verdicts].index(True) + 1 == first + 2
    assert [v.best_epoch for v in verdicts[:first]] == list(range(1, first + 1))
    assert verdicts[-1].best_epoch == first
    step = [1.0] * 15 + [0.1] * 10 + [0.01] * 15
    verdicts = replay(AfterAnnealing(Patience(2), floor=0.001), RISING, epoch_infos(n, step))
    assert [v.stop for v in verdicts].index(True) + 1 == 26 + 2
    assert "will fall to 0.01" in verdicts[3].reason


def test_an_unknown_schedule_is_awaited_while_the_rate_falls():
    step = [1.0] * 10 + [0.1] * 30
    verdicts = replay(AfterAnnealing(Patience(2), patience=4), RISING, epoch_infos(40, step, planned=False))
    stops = [v.stop for v in verdicts]
    assert stops[:10] == [False] * 2 + [True] * 8
    assert stops[10:] == [False] * 6 + [True] * 24
    assert verdicts[-1].best_epoch == 15
    assert not any(
        v.stop for v in replay(AfterAnnealing(Patience(2)), RISING, epoch_infos(40, cosine(40), planned=False))[:37]
    )
    plain = [v.stop for v in replay(Patience(2), RISING)]
    assert [v.stop for v in replay(AfterAnnealing(Patience(2)), RISING)] == plain
    assert [v.stop for v in replay(AfterAnnealing(Patience(2)), RISING, epoch_infos(40, [0.1] * 40))] == plain


def test_the_warm_up_is_not_judged():
    rates = [0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.2, 0.4]
    series = [0.1, 0.2, 0.3, 0.4, 0.9, 0.8, 0.7, 0.6]
    verdicts = replay(AfterWarmup(Patience(2)), series, epoch_infos(8, rates))
    assert [v.best_epoch for v in verdicts] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [v.reason for v in verdicts][:4] == ["the learning rate is warming up"] * 4
    assert [v.best_epoch for v in replay(AfterWarmup(Patience(9), 3), RISING)][:6] == [1, 2, 3, 4, 4, 4]


def test_not_before():
    verdicts = replay(MinEpochs(Patience(1), 5), RISING[:7])
    assert [v.stop for v in verdicts] == [False] * 4 + [True] * 3
    assert verdicts[2].reason.startswith("not before epoch 5: no look has come below 1")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Patience(0), "patience: must be a whole number ≥ 1, found 0"),
        (lambda: Patience(1, min_delta=-1), "min_delta: must be a number ≥ 0, found -1"),
        (lambda: Smoothing(0), "window: must be a whole number ≥ 1, found 0"),
        (lambda: Smoothing(weight=0), "weight: must be above 0 and at most 1, found 0"),
        (lambda: Plateau(fraction=1), "share: must be at least 0 and below 1, found 1"),
        (lambda: MannKendall(1.0), r"confidence: must lie between 0 and 1, found 1\.0"),
        (lambda: AllOf([]), r"rules: must be a list of rules, at least one, found \[\]"),
        (lambda: AnyOf([Patience]), "rules: must be a list of rules"),
        (lambda: MinEpochs(None, 3), r"rule: must be a rule such as Patience\(\), found None"),
        (lambda: MinEpochs(Patience(), -1), "epochs: must be a whole number ≥ 0, found -1"),
        (lambda: AfterWarmup(Patience(), 1.5), "epochs: "),
        (lambda: AfterAnnealing(Patience(), floor=1.0), r"floor: must be at least 0 and below 1, found 1\.0"),
        (lambda: AfterAnnealing(Patience(), patience=0), "settle: "),
        (lambda: epoch_infos(3, [0.1, 0.2]), "rates: must have one entry for each of the 3 looks, found 2"),
        (lambda: epoch_infos(3, others={"a": [1.0]}), "a: must have one entry"),
        (
            lambda: replay(Patience(), [1.0, 2.0], epoch_infos(3)),
            "looks: must be as many as the series' 2 values, found 3",
        ),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

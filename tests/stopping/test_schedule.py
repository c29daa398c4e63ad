"""Rules that wait for a number of epochs or for the learning rate."""

import math

import pytest

from lightning_factorlens.stopping import (
    AfterAnnealing,
    AfterWarmup,
    GeneralizationLoss,
    MinEpochs,
    OnMetric,
    Patience,
    epoch_infos,
    replay,
)

RISING = [1.0 + t for t in range(40)]


def cosine(n):
    return [0.5 * (1 + math.cos(math.pi * t / n)) for t in range(n)]


def test_no_stop_while_a_known_schedule_has_lower_rates_to_come():
    n = 40
    decisions = replay(AfterAnnealing(Patience(2), floor=0.05), RISING, epoch_infos(n, cosine(n)))
    first = next(t for t, lr in enumerate(cosine(n), 1) if lr <= 0.05)
    assert [d.stop for d in decisions].index(True) + 1 == first + 2
    assert [d.best_epoch for d in decisions[:first]] == list(range(1, first + 1))
    assert decisions[-1].best_epoch == first
    step = [1.0] * 15 + [0.1] * 10 + [0.01] * 15
    decisions = replay(AfterAnnealing(Patience(2), floor=0.001), RISING, epoch_infos(n, step))
    assert [d.stop for d in decisions].index(True) + 1 == 26 + 2
    assert "will fall to 0.01" in decisions[3].reason


def test_an_unknown_schedule_is_awaited_while_the_rate_falls():
    step = [1.0] * 10 + [0.1] * 30
    rule = AfterAnnealing(Patience(2), patience=4)
    decisions = replay(rule, RISING, epoch_infos(40, step, schedule_known=False))
    stops = [d.stop for d in decisions]
    assert stops[:10] == [False] * 2 + [True] * 8
    assert stops[10:] == [False] * 6 + [True] * 24
    assert decisions[-1].best_epoch == 15
    infos = epoch_infos(40, cosine(40), schedule_known=False)
    assert not any(d.stop for d in replay(AfterAnnealing(Patience(2)), RISING, infos)[:37])
    plain = [d.stop for d in replay(Patience(2), RISING)]
    assert [d.stop for d in replay(AfterAnnealing(Patience(2)), RISING)] == plain
    assert [d.stop for d in replay(AfterAnnealing(Patience(2)), RISING, epoch_infos(40, [0.1] * 40))] == plain


def test_another_rule_decides_while_the_rate_is_to_fall_and_only_then():
    n = 20
    lrs = [1.0] * 12 + [0.001] * 8
    memorizes = [3.0, 2.0, 1.0, 1.1, 1.5, 2.0, 2.5] + [3.0] * 13
    rule = AfterAnnealing(Patience(2), while_waiting=GeneralizationLoss(0.2, 3))
    decisions = replay(rule, memorizes, epoch_infos(n, lrs))
    assert [d.stop for d in decisions].index(True) + 1 == 7
    assert decisions[6].best_epoch == 4
    assert "will fall to 0.001; 2.5 is more than 20% above" in decisions[6].reason
    learns = [3 - t / 10 for t in range(12)] + [1.0, 1.2, 1.3, 1.4] + [1.5] * 4
    decisions = replay(rule, learns, epoch_infos(n, lrs))
    assert [d.best_epoch for d in decisions[:12]] == list(range(1, 13))
    assert [d.stop for d in decisions].index(True) + 1 == 15, "patience once the rate has fallen"
    constant = replay(rule, memorizes, epoch_infos(n, [0.1] * n))
    assert [d.stop for d in constant].index(True) + 1 == 5, "a constant rate is not waited for"


def test_the_metrics_of_both_rules_are_read():
    waiting = OnMetric(GeneralizationLoss(), "second")
    assert AfterAnnealing(OnMetric(Patience(), "first"), while_waiting=waiting).metrics == ("first", "second")
    assert AfterAnnealing(OnMetric(Patience(), "first")).metrics == ("first",)


def test_the_warm_up_does_not_reach_the_rule():
    lrs = [0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.2, 0.4]
    series = [0.1, 0.2, 0.3, 0.4, 0.9, 0.8, 0.7, 0.6]
    decisions = replay(AfterWarmup(Patience(2)), series, epoch_infos(8, lrs))
    assert [d.best_epoch for d in decisions] == [1, 2, 3, 4, 5, 6, 7, 8]
    first, *later = [d.reason for d in decisions][:4]
    assert first == "one measurement does not show whether the learning rate rises"
    assert later == ["the learning rate is warming up"] * 3
    constant = replay(AfterWarmup(Patience(2), 3), series, epoch_infos(8, [0.1] * 8))
    assert [d.reason for d in constant][:3] == ["the first 3 epochs do not count"] * 3
    assert [d.best_epoch for d in replay(AfterWarmup(Patience(9), 3), RISING)][:6] == [1, 2, 3, 4, 4, 4]


def test_no_stop_before_the_minimum_number_of_epochs():
    decisions = replay(MinEpochs(Patience(1), 5), RISING[:7])
    assert [d.stop for d in decisions] == [False] * 4 + [True] * 3
    assert decisions[2].reason.startswith("not before epoch 5: no value below 1")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MinEpochs(Patience(), -1), "epochs: must be a whole number ≥ 0, found -1"),
        (lambda: AfterWarmup(Patience(), 1.5), "epochs: "),
        (lambda: AfterAnnealing(Patience(), floor=1.0), r"floor: must be at least 0 and below 1, found 1\.0"),
        (lambda: AfterAnnealing(Patience(), patience=0), "patience: "),
        (
            lambda: AfterAnnealing(Patience(), while_waiting=GeneralizationLoss),
            r"while_waiting: must be a rule such as GeneralizationLoss\(\) or None",
        ),
    ],
)
def test_an_error_names_the_wrong_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()

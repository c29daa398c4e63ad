"""Patience rests while a fall of the learning rate is planned."""

import pytest

from lightning_factorlens.stopping import ScheduledPatience, epoch_infos, replay


def stops(lrs, known=True, patience=2, series=None):
    """Epochs at which the rule would stop where every value after the first is higher, and the last decision."""
    series = series or [1.0, *[2.0] * (len(lrs) - 1)]
    decisions = replay(ScheduledPatience(patience), series, epoch_infos(len(lrs), lrs, known))
    return [epoch for epoch, decision in enumerate(decisions, 1) if decision.stop], decisions[-1]


def test_a_plateau_before_a_planned_fall_is_never_left():
    found, last = stops([0.1] * 20 + [0.01] * 3)
    assert found == [22, 23]  # the two that count come after the fall, whose own epoch is the first
    assert last.best_epoch == 1


def test_a_plateau_counts_where_the_schedule_is_unknown_or_no_fall_to_half_is_planned():
    assert stops([0.1] * 5 + [0.01], known=False)[0] == [3, 4, 5, 6]
    assert stops([0.1] * 5 + [0.06])[0] == [3, 4, 5, 6]


def test_a_rate_that_falls_at_every_epoch_counts():
    assert stops([1.0, 0.8, 0.6, 0.4, 0.2])[0] == [3, 4, 5]


def test_a_raised_rate_that_comes_down_again_does_not_count():
    cycles = [1.0, 0.6, 0.1, 1.0, 0.6, 0.1]
    assert stops(cycles, patience=1, series=[3.0, 2.0, 1.0, 2.0, 2.0, 2.0])[0] == [6]


def test_the_lowest_value_is_kept_during_a_plateau_too():
    decisions = replay(ScheduledPatience(2), [3.0, 2.0, 1.0, 2.0, 0.5], epoch_infos(5, [1.0, 1.0, 1.0, 1.0, 0.1]))
    assert [decision.best_epoch for decision in decisions] == [1, 2, 3, 3, 5]


@pytest.mark.parametrize("drop", [0.0, 1.0, "half"])
def test_a_wrong_drop_is_named(drop):
    with pytest.raises(ValueError, match=r"drop: must be above 0 and below 1, found"):
        ScheduledPatience(drop=drop)

"""The default rules: their parts in their documented order."""

import pytest

from lightning_factorlens.stopping import (
    DEFAULT_MONITOR,
    AfterAnnealing,
    AfterWarmup,
    GeneralizationLoss,
    Patience,
    ScheduledPatience,
    Smoothed,
    Smoothing,
    annealing_rule,
    default_monitor,
    default_rule,
)


@pytest.mark.parametrize("target", ["loss", "accuracy"])
def test_the_default_is_smoothed_patience_that_rests_on_plateaus_after_a_warm_up(target):
    assert default_rule(target) == Smoothed(AfterWarmup(ScheduledPatience(10), 5), Smoothing(1, 0.5))
    assert default_monitor(target) == f"factorlens/{target}_signal"
    assert default_monitor() == DEFAULT_MONITOR == "factorlens/accuracy_signal"


def test_the_first_default_is_kept_by_name():
    annealed = AfterAnnealing(Patience(10), while_waiting=GeneralizationLoss(0.1, 5))
    assert annealing_rule() == Smoothed(AfterWarmup(annealed, 5), Smoothing(1, 0.5))


def test_another_target_is_refused():
    with pytest.raises(ValueError, match="target: found 'f1', allowed are"):
        default_monitor("f1")

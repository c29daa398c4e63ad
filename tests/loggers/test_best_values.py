"""The last value of these scalars is that of the best observation, also in a resumed run."""

from dataclasses import replace

import pytest
from observations import MEASUREMENTS

from lightning_factorlens.loggers.best_values import BestValues, best_scalars, latest_values, leading_scalar
from lightning_factorlens.measurements import RankAtError, RootMeanSquare
from lightning_factorlens.results import RequiredRank
from lightning_factorlens.results.findings import StopAdvice


def capped(rank, is_lower_bound):
    return (RequiredRank(0.3, rank, is_lower_bound), RequiredRank(0.125, 32.0, True))


def updates(observations, history=()):
    best = BestValues(MEASUREMENTS, history=history)
    return [best.update(observation) for observation in observations]


def test_a_new_best_observation_has_its_epoch_and_summary_scalars(observe):
    values = (2.0, 1.0, 1.5, 0.5)
    found = updates([observe(epoch, consistency=value) for epoch, value in enumerate(values, start=11)])
    assert [update.get("factorlens_best/epoch") for update in found] == [11.0, 12.0, None, 14.0]
    assert found[-1] == {
        "factorlens_best/epoch": 14.0,
        "factorlens_best/consistency": 0.5,
        "factorlens_best/rank_at_30pct": 9.25,
        "factorlens_best/effective_rank": 20.5,
        "factorlens_best/mean_alpha": 3.0,
    }


def test_the_stopping_rule_of_the_run_chooses_the_best_observation(observe):
    best = BestValues(MEASUREMENTS)
    best.update(observe(11, consistency=0.5))
    assert best.update(observe(12, consistency=0.7)) == {}
    changed = best.decide(StopAdvice("LabelFreeStopping", 12, None))  # it decides after the observation was written
    assert (changed["factorlens_best/epoch"], changed["factorlens_best/consistency"]) == (12.0, 0.7)
    assert best.decide(StopAdvice("LabelFreeStopping", 12, 12)) == {}


def test_the_observation_before_training_and_missing_values_are_never_the_best(observe):
    untrained = replace(observe(0, consistency=0.1), step=0)
    missing = [observe(1, consistency=None), observe(2, consistency=float("nan"))]
    assert updates([untrained, *missing]) == [{}, {}, {}]


def test_a_rank_that_is_only_a_lower_bound_is_left_out(observe):
    history = [observe(1, consistency=2.0, required_ranks=capped(9.0, False))]
    history.append(observe(2, consistency=1.0, required_ranks=capped(32.0, True)))
    first, second = updates(history)
    assert first["factorlens_best/rank_at_30pct"] == 9.0
    assert "factorlens_best/rank_at_30pct" not in second


def test_a_resumed_run_knows_the_best_observation_of_before(observe):
    earlier = [observe(11, consistency=0.5), observe(12, consistency=0.7)]
    live = [*earlier, observe(13, consistency=0.6)]  # the run's history has the newest observation already
    first, second, third = updates([live[-1], observe(14, consistency=0.55), observe(15, consistency=0.4)], live)
    assert first["factorlens_best/epoch"] == 11.0  # the new log file has nothing of the old one
    assert second == {}
    assert third["factorlens_best/epoch"] == 15.0


def test_a_completed_observation_has_more_values(observe):
    whole = observe(3, consistency=0.5)
    part = replace(whole, records={"consistency": whole["consistency"]})
    object.__setattr__(part, "is_full", False)
    first, second = updates([part, whole])
    assert set(first) == {"factorlens_best/epoch", "factorlens_best/consistency"}
    assert second["factorlens_best/effective_rank"] == 20.5


def test_a_signal_only_observation_has_the_values_of_the_full_one_before(observe):
    whole = observe(3, consistency=0.5)
    part = replace(observe(4, consistency=0.4), records={"consistency": observe(4, consistency=0.4)["consistency"]})
    object.__setattr__(part, "is_full", False)
    _, second = updates([whole, part])
    assert second["factorlens_best/consistency"] == 0.4
    assert second["factorlens_best/epoch"] == 4.0
    assert second["factorlens_best/effective_rank"] == 20.5


def test_the_values_of_the_untrained_network_are_never_those_of_the_best_observation(observe):
    untrained = replace(observe(0, consistency=2.0), step=0)
    part = replace(observe(4, consistency=0.4), records={"consistency": observe(4, consistency=0.4)["consistency"]})
    object.__setattr__(part, "is_full", False)
    _, second = updates([untrained, part])
    assert second == {"factorlens_best/epoch": 4.0, "factorlens_best/consistency": 0.4}
    found = latest_values([untrained, part], part, MEASUREMENTS)
    assert {entry.value.quantity for entry, _ in found.values()} == {"consistency"}
    assert len(latest_values([untrained, part], untrained, MEASUREMENTS)) > 1


def test_every_value_is_declared(observe):
    declared = {scalar.tag.format(prefix="factorlens") for scalar in best_scalars(MEASUREMENTS)}
    (found,) = updates([observe(1, required_ranks=(RequiredRank(0.3, 9.0, False), RequiredRank(0.125, 20.0, False)))])
    assert set(found) == declared


@pytest.mark.parametrize("measurements", [[RootMeanSquare()], [RankAtError((0.3,))]])
def test_without_a_scalar_that_has_a_direction_nothing_is_best(observe, measurements):
    assert leading_scalar(measurements) is None
    assert best_scalars(measurements) == []
    assert BestValues(measurements).update(observe(1)) == {}

"""The budget against an artificial clock."""

import math
import random

import pytest

from lightning_factorlens import FactorLensCallback
from lightning_factorlens.budget import OverheadBudget


class Clock:
    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


def observe_once(budget, clock, seconds, is_full, figures=0.0):
    """One observation on an artificial clock."""
    budget.begin()
    clock.time += seconds
    with budget.writing():
        if figures:
            with budget.drawing():
                clock.time += figures
    budget.record(is_full)


def simulate(max_fraction, epochs, train, observe, signal=lambda epoch: 0.0, clock=None):
    """Epochs of training, each with an observation, which is full wherever the budget affords that.

    Returns:
        The budget, the epochs with a full observation, and the overhead after each of these.
    """
    clock = clock or Clock()
    budget = OverheadBudget(max_fraction, clock=clock)
    budget.start()
    observed = []
    overheads = []
    for epoch in range(epochs):
        clock.time += train(epoch) if epoch else 0.0
        if budget.can_afford():
            observe_once(budget, clock, observe(epoch), is_full=True)
            observed.append(epoch)
            overheads.append(budget.overhead)
        else:
            budget.n_signal_only += 1
            observe_once(budget, clock, signal(epoch), is_full=False)
    return budget, observed, overheads


def test_without_a_limit_every_observation_is_full_and_counted():
    budget, observed, _ = simulate(None, 5, lambda e: 10.0, lambda e: 2.0)
    assert observed == [0, 1, 2, 3, 4]
    assert budget.total_seconds == 10.0
    assert budget.overhead == pytest.approx(10 / 50)
    assert budget.n_signal_only == 0


def test_full_observations_of_equal_cost_are_as_frequent_as_the_limit_allows():
    # A full observation of 1 s and epochs of 10 s at 2 %: 50 s earn one, which is one every five epochs.
    # The first one is on credit, so the second one comes later.
    budget, observed, overheads = simulate(0.02, 101, lambda e: 9.8, lambda e: 1.0)
    gaps = [b - a for a, b in zip(observed[1:], observed[2:])]
    assert observed[:2] == [0, 11]
    assert set(gaps) == {5}
    assert all(s <= 0.02 for s in overheads[1:])
    assert budget.n_signal_only + len(observed) == budget.n_measured == 101


def test_observations_of_the_signal_are_paid_from_the_same_account():
    _, without, _ = simulate(0.1, 200, lambda e: 1.0, lambda e: 0.5)
    _, observed, overheads = simulate(0.1, 200, lambda e: 1.0, lambda e: 0.5, signal=lambda e: 0.05)
    assert 2 < len(observed) < len(without)
    assert all(s <= 0.1 for s in overheads[1:])
    _, only_first, _ = simulate(0.1, 200, lambda e: 1.0, lambda e: 0.5, signal=lambda e: 0.2)
    assert only_first == [0]


@pytest.mark.parametrize("seed", range(20))
def test_the_overhead_exceeds_the_limit_only_by_what_an_observation_takes_beyond_its_price(seed):
    draw = random.Random(seed)
    limit = draw.choice([0.01, 0.05, 0.2])
    train = [draw.uniform(1, 30) for _ in range(300)]
    cost = [draw.uniform(0.5, 4) for _ in range(300)]
    budget, observed, overheads = simulate(limit, 300, train.__getitem__, cost.__getitem__)
    assert len(observed) > 3
    for k, reached in enumerate(overheads[1:], 1):
        beyond = max(0.0, cost[observed[k]] - cost[observed[k - 1]])
        total = sum(train[1 : observed[k] + 1]) + sum(cost[e] for e in observed[: k + 1])
        assert reached <= limit + beyond / total + 1e-9
    assert budget.overhead <= limit * 1.3
    assert budget.overhead >= limit * 0.5  # what is allowed is used


def test_the_last_observation_of_a_run_exceeds_the_limit_by_its_price_at_most():
    clock = Clock()
    for epochs in range(10, 60):
        budget, observed, _ = simulate(0.1, epochs, lambda e: 1.0, lambda e: 0.5, clock=clock)
        assert len(observed) > 1
        observe_once(budget, clock, 0.5, is_full=True)
        assert budget.total_seconds <= 0.1 * budget.elapsed + 0.5


def test_seconds_until_affordable_is_the_training_time_until_the_next_full_observation():
    clock = Clock()
    budget, _, _ = simulate(0.1, 1, lambda e: 0.0, lambda e: 3.0, clock=clock)
    wait = budget.seconds_until_affordable()
    assert wait == pytest.approx((3 + 3) / 0.1 - 3 - 3)
    clock.time += wait - 1e-6
    assert not budget.can_afford()
    clock.time += 2e-6
    assert budget.can_afford()
    assert budget.seconds_until_affordable() == 0


def test_figures_are_allowed_when_their_price_is_covered():
    clock = Clock()
    budget = OverheadBudget(0.1, clock=clock)
    budget.start()
    budget.begin()
    assert not budget.can_afford_figures()
    clock.time += 1
    budget.record(is_full=True)
    clock.time += 17  # 10 % of 18 + 1 s are 1.9 s: one second was spent, one is the price of figures
    budget.begin()
    assert not budget.can_afford_figures()
    clock.time += 1.9
    assert not budget.can_afford_figures()  # the observation that is being made counts too
    budget.record(is_full=False)
    clock.time += 20
    budget.begin()
    assert budget.can_afford_figures()
    assert OverheadBudget(None, clock=clock).can_afford_figures()


def test_the_price_of_figures_is_what_the_last_ones_took_and_no_part_of_that_of_an_observation():
    clock = Clock()
    budget = OverheadBudget(0.1, clock=clock)
    budget.start()
    observe_once(budget, clock, 1.0, is_full=True, figures=3.0)
    assert (budget.full_seconds, budget.figure_seconds, budget.total_seconds) == (1.0, 3.0, 4.0)
    assert budget.phases == {"figures": 3.0, "writing": 0.0}
    assert budget.write_seconds == 3.0


def test_a_resumed_budget_continues_and_the_time_between_is_not_counted():
    whole, observed, _ = simulate(0.05, 80, lambda e: 10.0, lambda e: 1.5)
    first, before, _ = simulate(0.05, 40, lambda e: 10.0, lambda e: 1.5)
    state = first.state_dict()
    late = Clock()
    late.time = 1e9
    second = OverheadBudget(0.05, clock=late)
    second.load_state_dict(state)
    second.start()
    after = []
    for epoch in range(40, 80):
        late.time += 10
        is_full = second.can_afford()
        second.n_signal_only += not is_full
        observe_once(second, late, 1.5 * is_full, is_full)
        after += [epoch] * is_full
    assert before + after == observed
    resumed, expected = second.state_dict(), whole.state_dict()
    assert resumed.pop("phases") == expected.pop("phases")
    assert resumed == pytest.approx(expected)


def test_the_first_observation_is_on_credit_and_before_it_there_is_no_overhead():
    budget = OverheadBudget(0.01, clock=Clock())
    assert math.isnan(budget.overhead)
    budget.start()
    assert budget.can_afford()
    assert budget.seconds_until_affordable() == 0


@pytest.mark.parametrize("fraction", [0, 1, 1.5, -0.1, "2%", True, math.nan])
def test_a_wrong_max_overhead_is_named(fraction):
    with pytest.raises(ValueError, match=r"max_overhead: must lie between 0 and 1.*found"):
        FactorLensCallback(max_overhead=fraction)

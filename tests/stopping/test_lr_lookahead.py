"""Simulated schedules against the rates that the schedulers then set."""

import math

import pytest
import torch
from torch.optim import lr_scheduler as schedules

from lightning_factorlens.stopping.lr_lookahead import MAX_STEPS, highest_lr, min_future, simulate_schedule

MAKE = {
    "cosine": lambda o: schedules.CosineAnnealingLR(o, 30),
    "step": lambda o: schedules.StepLR(o, 10),
    "milestones": lambda o: schedules.MultiStepLR(o, [5, 9]),
    "lambda": lambda o: schedules.LambdaLR(o, lambda e: 1 / (1 + e)),
    "one-cycle": lambda o: schedules.OneCycleLR(o, 0.5, total_steps=31),
    "cyclic": lambda o: schedules.CyclicLR(o, 0.01, 0.2, step_size_up=4, cycle_momentum=False),
    "restarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, 7),
    "warm-up": lambda o: schedules.SequentialLR(
        o, [schedules.LinearLR(o, 0.1, total_iters=5), schedules.CosineAnnealingLR(o, 25)], [5]
    ),
    "chained": lambda o: schedules.ChainedScheduler(
        [schedules.LinearLR(o, 0.1, total_iters=5), schedules.ExponentialLR(o, 0.9)]
    ),
}


def optimizer(kind=torch.optim.SGD):
    weights = [torch.nn.Parameter(torch.zeros(3)) for _ in range(2)]
    return kind([{"params": weights[:1]}, {"params": weights[1:], "lr": 0.05}], lr=0.1)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("name", MAKE)
def test_the_simulation_equals_what_the_scheduler_then_does(name, kind):
    o = optimizer(kind)
    scheduler = MAKE[name](o)
    for _ in range(3):
        scheduler.step()
    before = scheduler.state_dict(), [dict(g, params=None) for g in o.param_groups]
    simulated = simulate_schedule(scheduler, 27)
    after = scheduler.state_dict(), [dict(g, params=None) for g in o.param_groups]
    assert repr(before) == repr(after)
    real = [highest_lr(o)]
    for _ in range(27):
        scheduler.step()
        real.append(highest_lr(o))
    assert simulated == real


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_schedule_that_ends_early_ends_the_simulation():
    scheduler, real = schedules.OneCycleLR(optimizer(), 0.5, total_steps=10), []
    simulated = simulate_schedule(scheduler, 50)

    def step_until_it_raises():
        while True:
            real.append(highest_lr(scheduler.optimizer))
            scheduler.step()

    with pytest.raises(ValueError, match="Tried to step"):
        step_until_it_raises()
    assert simulated == real


def test_schedules_that_cannot_be_simulated_give_none():
    class NotCopyable(schedules.LRScheduler):
        def get_lr(self):
            return [g["lr"] for g in self.optimizer.param_groups]

        def __deepcopy__(self, memo):
            raise TypeError

    class Attribute:
        def __deepcopy__(self, memo):
            raise TypeError("no copies")

    assert simulate_schedule(schedules.ReduceLROnPlateau(optimizer()), 5) is None
    assert simulate_schedule(schedules.StepLR(optimizer(), 5), MAX_STEPS + 1) is None
    assert simulate_schedule(object(), 5) is None
    scheduler = NotCopyable(optimizer())
    scheduler.attribute = Attribute()
    assert simulate_schedule(scheduler, 5) is None


def test_min_future_is_the_lowest_of_the_following_rates():
    assert min_future([1.0, 3.0, 2.0, 4.0]) == [2.0, 2.0, 4.0, math.inf]
    assert min_future([]) == []

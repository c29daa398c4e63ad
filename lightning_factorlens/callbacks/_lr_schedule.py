"""What the stopping callback needs of a Trainer's learning rates: now, still to come, and divided."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR

from lightning_factorlens._private_api import sub_schedulers
from lightning_factorlens.stopping.lr_lookahead import highest_lr, min_future, simulate_schedule


def current_lr(trainer: Trainer) -> float | None:
    """The highest rate of all optimizers' parameter groups; None without any."""
    return max((highest_lr(optimizer) for optimizer in trainer.optimizers), default=None)


def planned_max_epochs(trainer: Trainer) -> int | None:
    """When training is to end, by ``max_epochs`` or ``max_steps``; None where neither tells."""
    horizon = math.inf if trainer.max_epochs is None or trainer.max_epochs < 0 else float(trainer.max_epochs)
    if trainer.max_steps >= 0:
        an_epoch = _steps_an_epoch(trainer)
        if math.isinf(an_epoch):
            return None
        horizon = min(horizon, math.ceil(trainer.max_steps / an_epoch))
    return None if math.isinf(horizon) else int(horizon)


def _steps_an_epoch(trainer: Trainer) -> float:
    """Optimizer steps; infinite where the loader has no length."""
    batches = trainer.num_training_batches
    return max(1, math.ceil(batches / trainer.accumulate_grad_batches)) if math.isfinite(batches) else math.inf


class LRLookahead:
    """What a Trainer's schedule has in store, run ahead once when training starts.

    Known for one scheduler of PyTorch's kind under automatic optimization, to the planned end of training. Where rates
    were changed by somebody else since, the plan is scaled as the present rate is.

    Args:
        trainer: About to train.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._rates: list[float] = []
        self._ahead: list[float] = []
        configs = trainer.lr_scheduler_configs
        if len(configs) != 1 or not trainer.lightning_module.automatic_optimization or configs[0].reduce_on_plateau:
            return
        self._scheduler, self._start = configs[0].scheduler, _steps_taken(configs[0].scheduler)
        steps = _steps_to_go(trainer, configs[0].interval, configs[0].frequency)
        if steps is not None:
            self._rates = simulate_schedule(self._scheduler, max(0, steps)) or []
            self._ahead = min_future(self._rates)

    def min_future_lr(self, rate: float | None) -> float | None:
        """The lowest rate that the schedule will change to; infinite for no change any more, None for no telling."""
        if not self._rates or rate is None:
            return None
        i = _steps_taken(self._scheduler) - self._start
        if not 0 <= i < len(self._rates):
            return math.inf
        planned = self._rates[i]
        return self._ahead[i] * (rate / planned if planned > 0 else 1.0)


def _steps_to_go(trainer: Trainer, interval: str, frequency: int) -> int | None:
    """How often the scheduler will be stepped before the last batch. Lightning counts epochs, or batches of one."""
    horizon = planned_max_epochs(trainer)
    if horizon is None:
        return None
    if interval == "epoch":
        return (horizon - 1) // frequency - trainer.current_epoch // frequency
    if math.isinf(_steps_an_epoch(trainer)):
        return None
    batches, together = int(trainer.num_training_batches), trainer.accumulate_grad_batches
    last_batches = [min(b + together, batches) for b in range(0, batches, together)]  # of each optimizer step
    fires = list(accumulate((int(b % frequency == 0) for b in last_batches), initial=0))
    per_epoch = len(last_batches)
    total = horizon * per_epoch if trainer.max_steps < 0 else min(horizon * per_epoch, trainer.max_steps)

    def by(step: int) -> int:
        return step // per_epoch * fires[-1] + fires[step % per_epoch]

    return by(total - 1) - by(trainer.global_step)


def _steps_taken(scheduler: Any) -> int:
    while not hasattr(scheduler, "last_epoch"):  # a ChainedScheduler counts in its parts
        scheduler = sub_schedulers(scheduler)[0]
    return int(scheduler.last_epoch)


def check_scheduler_supported(trainer: Trainer) -> None:
    """Refuses schedulers that would write over a divided rate.

    Raises:
        MisconfigurationException: Naming the scheduler.
    """
    for config in trainer.lr_scheduler_configs:
        for scheduler in _parts(config.scheduler):
            if isinstance(scheduler, (OneCycleLR, CyclicLR)):
                raise MisconfigurationException(
                    f"LabelFreeStopping(mode='lr') cannot divide the rates of {type(scheduler).__name__}, which sets "
                    "them from its own bounds at every step; use another scheduler or another mode."
                )


def scale_lrs(trainer: Trainer, factor: float, min_lr: float) -> bool:
    """Multiplies every rate by ``factor``, not below ``min_lr``, and what schedulers take for the rate's start.

    Args:
        trainer: Whose optimizers and schedulers are changed.
        factor: Below 1.
        min_lr: A rate at or below it stays.

    Returns:
        Whether any rate has changed.
    """
    schedulers = [part for config in trainer.lr_scheduler_configs for part in _parts(config.scheduler)]
    changed = [
        _divide_group(o, i, factor, min_lr, schedulers) for o in trainer.optimizers for i in range(len(o.param_groups))
    ]
    return any(changed)


def _divide_group(optimizer: Optimizer, i: int, factor: float, min_lr: float, schedulers: list[Any]) -> bool:
    group = optimizer.param_groups[i]
    rate = float(group["lr"])
    if rate <= min_lr:
        return False
    ratio = max(rate * factor, min_lr) / rate
    for key in {"lr", "initial_lr"} & group.keys():
        _scale(group, key, ratio)
    for scheduler in schedulers:
        if getattr(scheduler, "optimizer", None) is optimizer and len(getattr(scheduler, "base_lrs", ())) > i:
            _scale(scheduler.base_lrs, i, ratio)
    return True


def _scale(where: Any, key: Any, ratio: float) -> None:
    if isinstance(where[key], Tensor):
        where[key].mul_(ratio)  # a captured graph holds this very tensor
    else:
        where[key] = where[key] * ratio


def _parts(scheduler: Any) -> Iterator[Any]:
    """A scheduler and those that it is made of."""
    yield scheduler
    for part in sub_schedulers(scheduler):
        yield from _parts(part)

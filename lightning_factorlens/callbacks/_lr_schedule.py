"""Reads, predicts and scales the learning rates of a Trainer's optimizers for the stopping callback."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR

from lightning_factorlens._private_api.schedulers import sub_schedulers
from lightning_factorlens.stopping.lr_lookahead import highest_lr, min_future, simulate_schedule


def current_lr(trainer: Trainer) -> float | None:
    """Returns the highest learning rate of all optimizers' parameter groups; None without an optimizer."""
    return max((highest_lr(optimizer) for optimizer in trainer.optimizers), default=None)


def planned_max_epochs(trainer: Trainer) -> int | None:
    """Returns the epoch at which ``max_epochs`` or ``max_steps`` ends the training; None if neither determines it."""
    limit = math.inf
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        limit = float(trainer.max_epochs)
    if trainer.max_steps >= 0:
        steps_per_epoch = _optimizer_steps_per_epoch(trainer)
        if math.isinf(steps_per_epoch):
            return None
        limit = min(limit, math.ceil(trainer.max_steps / steps_per_epoch))
    return None if math.isinf(limit) else int(limit)


def _optimizer_steps_per_epoch(trainer: Trainer) -> float:
    """Returns the number of optimizer steps per epoch; infinite if the training loader has no length."""
    n_batches = trainer.num_training_batches
    if math.isinf(n_batches):
        return math.inf
    return max(1, math.ceil(n_batches / trainer.accumulate_grad_batches))


class LRLookahead:
    """The future learning rates of a Trainer's scheduler, simulated once when training starts.

    They are known if there is exactly one PyTorch scheduler under automatic optimization that does not depend on a
    metric, and if the end of training is known. If the rates are changed from outside after the simulation, the
    simulated rates are scaled by the ratio of the current rate and the simulated one.

    Args:
        trainer: A Trainer that is about to train.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._rates: list[float] = []
        self._min_future: list[float] = []
        configs = trainer.lr_scheduler_configs
        if len(configs) != 1 or not trainer.lightning_module.automatic_optimization or configs[0].reduce_on_plateau:
            return
        if not isinstance(configs[0].scheduler, LRScheduler):
            return
        self._scheduler = configs[0].scheduler
        self._start = _n_steps_taken(self._scheduler)
        n_steps = _n_future_steps(trainer, configs[0].interval, configs[0].frequency)
        if n_steps is not None:
            self._rates = simulate_schedule(self._scheduler, max(0, n_steps)) or []
            self._min_future = min_future(self._rates)

    def min_future_lr(self, lr: float | None) -> float | None:
        """Returns the lowest rate that the schedule will still set.

        Args:
            lr: The current learning rate.

        Returns:
            Infinity if the rate will not change any more, None if the schedule or ``lr`` is unknown.
        """
        if not self._rates or lr is None:
            return None
        i = _n_steps_taken(self._scheduler) - self._start
        if not 0 <= i < len(self._rates):
            return math.inf
        simulated = self._rates[i]
        return self._min_future[i] * (lr / simulated if simulated > 0 else 1.0)


def _n_future_steps(trainer: Trainer, interval: str, frequency: int) -> int | None:
    """Returns the number of scheduler steps before the last batch of the training; None if it is unknown."""
    n_epochs = planned_max_epochs(trainer)
    if n_epochs is None:
        return None
    if interval == "epoch":
        return (n_epochs - 1) // frequency - _n_epochs_stepped(trainer) // frequency
    if math.isinf(_optimizer_steps_per_epoch(trainer)):
        return None
    cumulative = _cumulative_scheduler_steps(trainer, frequency)
    steps_per_epoch = len(cumulative) - 1

    def scheduler_steps_until(optimizer_step: int) -> int:
        return optimizer_step // steps_per_epoch * cumulative[-1] + cumulative[optimizer_step % steps_per_epoch]

    n_optimizer_steps = n_epochs * steps_per_epoch
    if trainer.max_steps >= 0:
        n_optimizer_steps = min(n_optimizer_steps, trainer.max_steps)
    return scheduler_steps_until(n_optimizer_steps - 1) - scheduler_steps_until(trainer.global_step)


def _n_epochs_stepped(trainer: Trainer) -> int:
    """Returns the number of epochs after which schedulers have had their turn.

    They have it after the last batch and before validation, at the end of which a checkpoint may have been written.
    """
    loop = trainer.fit_loop
    is_within_epoch = loop.epoch_progress.current.ready > trainer.current_epoch
    return trainer.current_epoch + int(is_within_epoch and loop.epoch_loop.batch_progress.is_last_batch)


def _cumulative_scheduler_steps(trainer: Trainer, frequency: int) -> list[int]:
    """Returns the number of scheduler steps in an epoch after 0, 1, … optimizer steps.

    With ``interval="step"`` Lightning steps the scheduler after the optimizer steps whose number of batches in the
    epoch is a multiple of ``frequency``.
    """
    n_batches = int(trainer.num_training_batches)
    accumulated = trainer.accumulate_grad_batches
    cumulative = [0]
    for first_batch in range(0, n_batches, accumulated):
        batches_done = min(first_batch + accumulated, n_batches)
        cumulative.append(cumulative[-1] + int(batches_done % frequency == 0))
    return cumulative


def _n_steps_taken(scheduler: Any) -> int:
    while not hasattr(scheduler, "last_epoch"):  # a ChainedScheduler has no counter, its members have
        scheduler = _members(scheduler)[0]
    return int(scheduler.last_epoch)


def check_scheduler_supported(trainer: Trainer) -> None:
    """Checks that no scheduler overwrites a scaled learning rate.

    Raises:
        MisconfigurationException: Naming the scheduler.
    """
    for config in trainer.lr_scheduler_configs:
        for scheduler in _with_members(config.scheduler):
            if isinstance(scheduler, (OneCycleLR, CyclicLR)):
                raise MisconfigurationException(
                    f"LabelFreeStopping(mode='lr') cannot scale the learning rates of {type(scheduler).__name__}, "
                    "which sets them from its own bounds at every step; use another scheduler or another mode."
                )


def scale_lrs(trainer: Trainer, factor: float, min_lr: float) -> bool:
    """Multiplies all learning rates, and the initial rates from which schedulers compute them, by a factor.

    Args:
        trainer: Its optimizers and schedulers are changed.
        factor: Below 1.
        min_lr: No rate is set below it; a rate at or below it stays.

    Returns:
        Whether any rate has changed.
    """
    schedulers: list[Any] = []
    for config in trainer.lr_scheduler_configs:
        schedulers.extend(_with_members(config.scheduler))
    any_changed = False
    for optimizer in trainer.optimizers:
        for i in range(len(optimizer.param_groups)):
            changed = _scale_group(optimizer, i, factor, min_lr, schedulers)
            any_changed = any_changed or changed
    return any_changed


def _scale_group(optimizer: Optimizer, i: int, factor: float, min_lr: float, schedulers: list[Any]) -> bool:
    group = optimizer.param_groups[i]
    lr = float(group["lr"])
    if lr <= min_lr:
        return False
    ratio = max(lr * factor, min_lr) / lr
    for key in ("lr", "initial_lr"):
        if key in group:
            _scale_item(group, key, ratio)
    for scheduler in schedulers:
        if getattr(scheduler, "optimizer", None) is optimizer and len(getattr(scheduler, "base_lrs", ())) > i:
            _scale_item(scheduler.base_lrs, i, ratio)
    return True


def _scale_item(container: Any, key: Any, ratio: float) -> None:
    if isinstance(container[key], Tensor):
        container[key].mul_(ratio)  # in place, because a captured CUDA graph reads this tensor
    else:
        container[key] = container[key] * ratio


def _with_members(scheduler: Any) -> Iterator[Any]:
    """Yields a scheduler and, recursively, those that it consists of."""
    yield scheduler
    for member in _members(scheduler):
        yield from _with_members(member)


def _members(scheduler: Any) -> Sequence[Any]:
    """Returns the schedulers that a SequentialLR or ChainedScheduler consists of; torch has no public attribute."""
    members = sub_schedulers(scheduler)
    return members

"""Computes the learning rates that a PyTorch scheduler is going to set, by stepping a copy of it."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

#: Longer schedules are not simulated. This many steps take about five seconds, once per run.
MAX_STEPS = 1_000_000


def simulate_schedule(scheduler: LRScheduler, n_steps: int) -> list[float] | None:
    """Computes the current learning rate and the rate after each of the scheduler's next steps.

    Args:
        scheduler: A PyTorch scheduler. It and its optimizer are not changed.
        n_steps: Number of steps.

    Returns:
        At most ``n_steps`` + 1 rates, each the highest one of all parameter groups; fewer if the schedule ends before.
        None if the rates cannot be computed: the scheduler waits for a metric, cannot be copied, or ``n_steps`` is
        negative or above `MAX_STEPS`.

    Example:
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
        >>> simulate_schedule(scheduler, 4)
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
        return None
    if not 0 <= n_steps <= MAX_STEPS:
        return None
    try:
        optimizer = _copy_without_weights(scheduler.optimizer)
        simulated = _copy_with_optimizer(scheduler, optimizer)
    except Exception:  # a user's scheduler may hold objects that cannot be copied
        return None
    rates = [highest_lr(optimizer)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns about scheduler steps without optimizer steps
        for _ in range(n_steps):
            try:
                simulated.step()
            except Exception:  # OneCycleLR raises beyond the end of its schedule
                break
            rates.append(highest_lr(optimizer))
    return rates


def highest_lr(optimizer: torch.optim.Optimizer) -> float:
    """Returns the highest learning rate of the optimizer's parameter groups.

    Args:
        optimizer: Any optimizer with at least one parameter group.
    """
    return max(float(group["lr"]) for group in optimizer.param_groups)


def min_future(rates: list[float]) -> list[float]:
    """Computes for each rate the lowest one of those that follow it.

    Args:
        rates: Learning rates in the order in which they are set.

    Returns:
        One rate for each; infinity for the last.

    Example:
        >>> min_future([1.0, 3.0, 2.0])
        [2.0, 2.0, inf]
    """
    lowest = math.inf
    reversed_result = []
    for rate in reversed(rates):
        reversed_result.append(lowest)
        lowest = min(lowest, rate)
    return reversed_result[::-1]


def _copy_without_weights(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Returns an optimizer with the same options and one dummy weight a parameter group."""
    groups = []
    for group in optimizer.param_groups:
        options: dict[str, Any] = {"params": [torch.zeros(1)]}
        for key, value in group.items():
            if key != "params":
                options[key] = copy.deepcopy(value)
        groups.append(options)
    result = torch.optim.SGD(groups, lr=0.0)
    result.defaults = {**result.defaults, **copy.deepcopy(optimizer.defaults)}
    return result


def _copy_with_optimizer(value: Any, optimizer: torch.optim.Optimizer) -> Any:
    """Copies a scheduler, those that it consists of, and lists of them onto an optimizer; deep-copies the rest."""
    if isinstance(value, (list, tuple)):
        return type(value)(_copy_with_optimizer(item, optimizer) for item in value)
    if not isinstance(value, LRScheduler):
        return copy.deepcopy(value)
    result = copy.copy(value)
    attributes = {}
    for name, attribute in vars(value).items():
        attributes[name] = optimizer if name == "optimizer" else _copy_with_optimizer(attribute, optimizer)
    result.__dict__ = attributes
    return result

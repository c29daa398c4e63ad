"""The learning rates that a PyTorch scheduler has in store, by running a copy of it ahead."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

#: More steps than this are not run ahead: these take some five seconds, once a run.
MOST = 1_000_000


def simulate_schedule(scheduler: LRScheduler, steps: int) -> list[float] | None:
    """The rate now and after each of the scheduler's next steps.

    Args:
        scheduler: One of PyTorch's kind; it and its optimizer are left alone.
        steps: How often it will be stepped.

    Returns:
        At most ``steps`` + 1 rates, the highest of all parameter groups at each; fewer where the schedule ends itself.
        None where there is no telling: it waits for a metric, cannot be copied, or has too many steps to go.
    """
    if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau) or not 0 <= steps <= MOST:
        return None
    try:
        optimizer = _stand_in(scheduler.optimizer)
        ghost = _copy(scheduler, optimizer)
    except Exception:  # somebody's own scheduler may hold what cannot be copied
        return None
    rates = [highest_rate(optimizer)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps without an optimizer's
        for _ in range(steps):
            try:
                ghost.step()
            except Exception:  # OneCycleLR refuses steps beyond its own end
                break
            rates.append(highest_rate(optimizer))
    return rates


def highest_rate(optimizer: torch.optim.Optimizer) -> float:
    """The highest learning rate of its parameter groups."""
    return max(float(group["lr"]) for group in optimizer.param_groups)


def min_future(rates: list[float]) -> list[float]:
    """For each rate the lowest of those that follow; infinite for the last."""
    lowest, found = math.inf, []
    for rate in reversed(rates):
        found.append(lowest)
        lowest = min(lowest, rate)
    return found[::-1]


def _stand_in(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """An optimizer with the same options and no weights."""
    groups = [
        {**{k: copy.deepcopy(v) for k, v in group.items() if k != "params"}, "params": [torch.zeros(1)]}
        for group in optimizer.param_groups
    ]
    stand_in = torch.optim.SGD(groups, lr=0.0)
    stand_in.defaults = {**stand_in.defaults, **copy.deepcopy(optimizer.defaults)}
    return stand_in


def _copy(value: Any, optimizer: torch.optim.Optimizer) -> Any:
    """A scheduler on the stand-in, with those that it is made of; anything else as a deep copy."""
    if isinstance(value, (list, tuple)):
        return type(value)(_copy(v, optimizer) for v in value)
    if not isinstance(value, LRScheduler):
        return copy.deepcopy(value)
    twin = copy.copy(value)
    twin.__dict__ = {k: optimizer if k == "optimizer" else _copy(v, optimizer) for k, v in vars(value).items()}
    return twin

"""The learning rate at a step of a run, as a fraction of the task's rate."""

from __future__ import annotations

import math

from benchmarks.stopping.campaign.task import Task

#: Share of the steps in which ``"onecycle"`` and ``"warmup_cosine"`` rise, and where the former begins and ends.
RISE = {"onecycle": 0.3, "warmup_cosine": 0.1}
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = 1e-4
#: Share of the steps in which ``"warmup_constant"`` rises, and the fraction at which ``"exponential"`` ends.
WARMUP = 0.1
EXPONENTIAL_END = 0.01


def _falling(share: float) -> float:
    """Half a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def rate_factor(task: Task, step: int, steps_per_epoch: int) -> float:
    """The learning rate at a step of the run, as a fraction of the task's rate.

    ``"step"`` falls to a tenth after every epoch of ``task.drops``; ``"cosine"`` falls to 0; ``"warmup_cosine"`` rises
    linearly during a tenth of the run before; ``"restarts"`` repeats a cosine for every length of ``task.cycles``
    (Loshchilov and Hutter 2017, "SGDR"); ``"onecycle"`` rises from 1/25 during 30 % of the run and falls to 1e-4, both
    as a cosine (Smith and Topin 2018, "Super-convergence", in PyTorch's form). ``"linear"`` falls to 0 in a straight
    line, ``"polynomial"`` as the square of that line, ``"exponential"`` by the same factor in every step, to a
    hundredth; ``"warmup_constant"`` rises linearly during a tenth of the run and stays.

    Args:
        task: Names the schedule.
        step: Number of steps before this one.
        steps_per_epoch: Steps of an epoch.
    """
    share = step / (task.epochs * steps_per_epoch)
    if task.schedule == "cosine":
        return _falling(share)
    if task.schedule == "step":
        return float(0.1 ** sum(step >= epoch * steps_per_epoch for epoch in task.drops))
    if task.schedule == "restarts":
        return _restarts(task.cycles, step / steps_per_epoch)
    if task.schedule in RISE:
        rise = RISE[task.schedule]
        if share >= rise:
            fall = _falling((share - rise) / (1 - rise))
            return max(fall, ONE_CYCLE_END) if task.schedule == "onecycle" else fall
        if task.schedule == "onecycle":
            return ONE_CYCLE_START + (1 - ONE_CYCLE_START) * (1 - _falling(share / rise))
        return (step + 1) / (rise * task.epochs * steps_per_epoch + 1)
    return _simple(task.schedule, share)


def _simple(schedule: str, share: float) -> float:
    """The schedules that depend on nothing but the share of the steps that have been taken."""
    if schedule == "linear":
        return 1 - share
    if schedule == "polynomial":
        return (1 - share) ** 2
    if schedule == "exponential":
        return EXPONENTIAL_END**share
    if schedule == "warmup_constant":
        return min(1.0, 0.05 + 0.95 * share / WARMUP)
    return 1.0


def _restarts(cycles: tuple[int, ...], epoch: float) -> float:
    for length in cycles:
        if epoch < length:
            return _falling(epoch / length)
        epoch -= length
    raise ValueError(f"cycles: {cycles} are shorter than the run.")

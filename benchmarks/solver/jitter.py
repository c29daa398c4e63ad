"""Jitter of the error over training: warm fits of consecutive snapshots, compared with the best fits known of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.reporting import median
from benchmarks.solver.best_errors import remember_best
from benchmarks.solver.factorlens_runner import (
    errors,
    fit_problem,
    log_progress,
    long_running_solver,
    lowest_errors,
    timed,
)
from benchmarks.solver.problems import RANKS, Problem
from lightning_factorlens.results import Factorization


def jitter(snapshots: Sequence[Problem]) -> dict[str, Any]:
    """Scatter of the warm rmse around the best rmse known of the same snapshot, by rank.

    The excess is the warm rmse over the best one, minus one.

    Returns:
        By rank: ``jitter``, the standard deviation of the excess's steps from snapshot to snapshot, divided by √2;
        ``drift``, the standard deviation of the excess itself over all snapshots, which equals the jitter where the
        errors of snapshots are independent and is larger where the excess changes slowly, as it does after the cold
        start; ``bias``, the mean of the excess; ``around_trend``, the standard deviation of log rmse around a parabola
        through the snapshots, which contains the change by training. Also the curves themselves, the number of
        snapshots whose rmse is monotone in the rank, and processor seconds of the cold and of the warm fits.
    """
    log_progress(f"jitter over {len(snapshots)} snapshots")
    start = None
    fits = []
    seconds = []
    for problem in snapshots:
        fit, cpu, _ = timed(partial(fit_problem, problem, start=start))
        start = fit.F
        fits.append(fit)
        seconds.append(cpu)
    best = _best_known(snapshots, fits)
    entries = np.array([[problem.m * problem.N] for problem in snapshots])
    rmse = np.sqrt(np.array([list(errors(fit).values()) for fit in fits]) / entries)
    truth = np.sqrt(np.array([[known[r] for r in RANKS] for known in best]) / entries)
    deviation = rmse / truth - 1
    t = np.linspace(-1, 1, len(rmse))
    around_trend = {}
    for rank, column in zip(RANKS, rmse.T):
        residuals = np.log(column) - np.polyval(np.polyfit(t, np.log(column), 2), t)
        around_trend[rank] = float(np.std(residuals, ddof=3))
    return {
        "rmse": rmse.tolist(),
        "best": truth.tolist(),
        "jitter": dict(zip(RANKS, (np.diff(deviation, axis=0).std(0) / math.sqrt(2)).tolist())),
        "drift": dict(zip(RANKS, deviation.std(0, ddof=1).tolist())),
        "bias": dict(zip(RANKS, deviation.mean(0).tolist())),
        "around_trend": around_trend,
        "monotone": int((np.diff(rmse, axis=1) <= 0).all(1).sum()),
        "snapshots": len(rmse),
        "warm_cpu": median(seconds[1:]),
        "warm_cpu_spread": [min(seconds[1:]), max(seconds[1:])],
        "cold_cpu": seconds[0],
    }


def _best_known(snapshots: Sequence[Problem], fits: Sequence[Factorization]) -> list[dict[int, float]]:
    """The smallest squared errors: of the fits, and of two long chains, forwards and backwards over the snapshots.

    A single chain sometimes finds a better minimum from one snapshot to the next, which would count as our jitter.
    """
    best = []
    for problem, fit in zip(snapshots, fits):
        best.append(remember_best(problem, lowest_errors(problem, fit)))
    cold = long_running_solver(40, 1e-6, n_init=4, n_sampled_rows=8192)
    warm = long_running_solver(40, 1e-6, n_init=1, n_sampled_rows=8192)
    start = None
    for k in (*range(len(snapshots)), *reversed(range(len(snapshots)))):
        fit = fit_problem(snapshots[k], solver=warm if start else cold, start=start)
        best[k] = remember_best(snapshots[k], lowest_errors(snapshots[k], fit))
        start = fit.F
    return best

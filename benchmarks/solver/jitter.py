"""Does the curve jitter? Warm fits of consecutive training snapshots beside the best fits known of the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.reporting import median
from benchmarks.solver.best_errors import remember_best
from benchmarks.solver.factorlens_runner import errors, lowest, ours, patient, say, timed
from benchmarks.solver.problems import RANKS, Problem
from lightning_factorlens.results import Factorization


def jitter(snapshots: Sequence[Problem]) -> dict[str, Any]:
    """Scatter of the warm rmse around the best rmse known of the same snapshot, a rank.

    Warm over best, minus one, is the excess. ``jitter`` is the scatter of its steps from snapshot to snapshot, over √2:
    of what one snapshot errs on its own, beside the next. ``drift`` is the scatter of the excess itself over all
    snapshots: the same number where every snapshot errs on its own, more where the excess moves slowly, as it does
    after the cold start. ``bias`` is its mean. ``around_trend`` is the scatter of log rmse around a parabola through
    the snapshots, which the training itself moves.
    """
    say(f"jitter over {len(snapshots)} snapshots")
    start, fits, seconds = None, [], []
    for problem in snapshots:
        fit, cpu, _ = timed(partial(ours, problem, start=start))
        start = fit.F
        fits.append(fit)
        seconds.append(cpu)
    best = _best_known(snapshots, fits)
    entries = np.array([[problem.m * problem.N] for problem in snapshots])
    rmse = np.sqrt(np.array([list(errors(fit).values()) for fit in fits]) / entries)
    truth = np.sqrt(np.array([[known[r] for r in RANKS] for known in best]) / entries)
    deviation = rmse / truth - 1
    t = np.linspace(-1, 1, len(rmse))
    trend = [np.log(c) - np.polyval(np.polyfit(t, np.log(c), 2), t) for c in rmse.T]
    return {
        "rmse": rmse.tolist(),
        "best": truth.tolist(),
        "jitter": dict(zip(RANKS, (np.diff(deviation, axis=0).std(0) / math.sqrt(2)).tolist())),
        "drift": dict(zip(RANKS, deviation.std(0, ddof=1).tolist())),
        "bias": dict(zip(RANKS, deviation.mean(0).tolist())),
        "around_trend": {r: float(np.std(d, ddof=3)) for r, d in zip(RANKS, trend)},
        "monotone": int((np.diff(rmse, axis=1) <= 0).all(1).sum()),
        "snapshots": len(rmse),
        "warm_cpu": median(seconds[1:]),
        "warm_cpu_spread": [min(seconds[1:]), max(seconds[1:])],
        "cold_cpu": seconds[0],
    }


def _best_known(snapshots: Sequence[Problem], fits: Sequence[Factorization]) -> list[dict[int, float]]:
    """The best squared errors: of the fits, and of two long chains, one up and one down the snapshots.

    One chain alone now and then falls into a better minimum, and its own jump would count as our jitter.
    """
    best = [remember_best(problem, lowest(problem, fit)) for problem, fit in zip(snapshots, fits)]
    long, start = patient(40, 1e-6, n_init=1, n_sampled_rows=8192), None
    for k in (*range(len(snapshots)), *reversed(range(len(snapshots)))):
        fit = ours(
            snapshots[k], solver=long if start else patient(40, 1e-6, n_init=4, n_sampled_rows=8192), start=start
        )
        best[k], start = remember_best(snapshots[k], lowest(snapshots[k], fit)), fit.F
    return best

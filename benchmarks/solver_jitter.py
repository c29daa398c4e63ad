"""Does the curve jitter? Warm fits of consecutive training snapshots beside the converged fits of the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.reporting import median
from benchmarks.solver_ours import errors, lowest, ours, patient, say, timed
from benchmarks.solver_problems import RANKS, Problem


def jitter(snapshots: Sequence[Problem]) -> dict[str, Any]:
    """Scatter of the warm rmse around the converged rmse of the same snapshot, a rank.

    The converged chain goes on from the warm fit until it rests at a relative change of 1e-6; warm over converged,
    minus one, is the excess. ``jitter`` is the scatter of its steps from snapshot to snapshot, over √2: of what one
    snapshot errs on its own, beside the next. ``drift`` is the scatter of the excess itself over all snapshots: the
    same number where every snapshot errs on its own, more where the excess moves slowly, as it does after the cold
    start. ``bias`` is its mean. ``around_trend`` is the scatter of log rmse around a parabola through the snapshots,
    which the training itself moves.
    """
    say(f"jitter over {len(snapshots)} snapshots")
    start, rows, converged, seconds = None, [], [], []
    for problem in snapshots:
        fit, cpu, _ = timed(partial(ours, problem, start=start))
        start = fit.F
        accurate = lowest(problem, ours(problem, solver=patient(200, 1e-6, restarts=1, sample=0), start=start))
        scale = problem.m * problem.N
        rows.append([math.sqrt(v / scale) for v in errors(fit).values()])
        converged.append([math.sqrt(v / scale) for v in accurate.values()])
        seconds.append(cpu)
    rmse, truth = np.array(rows), np.array(converged)
    deviation = rmse / truth - 1
    t = np.linspace(-1, 1, len(rows))
    trend = [np.log(c) - np.polyval(np.polyfit(t, np.log(c), 2), t) for c in rmse.T]
    return {
        "rmse": rmse.tolist(),
        "converged": truth.tolist(),
        "jitter": dict(zip(RANKS, (np.diff(deviation, axis=0).std(0) / math.sqrt(2)).tolist())),
        "drift": dict(zip(RANKS, deviation.std(0, ddof=1).tolist())),
        "bias": dict(zip(RANKS, deviation.mean(0).tolist())),
        "around_trend": {r: float(np.std(d, ddof=3)) for r, d in zip(RANKS, trend)},
        "monotone": int((np.diff(rmse, axis=1) <= 0).all(1).sum()),
        "snapshots": len(rows),
        "warm_cpu": median(seconds[1:]),
        "warm_cpu_spread": [min(seconds[1:]), max(seconds[1:])],
        "cold_cpu": seconds[0],
    }

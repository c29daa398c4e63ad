"""The smallest squared errors known of a problem, to which "within 1 %" refers; kept in the temporary folder."""

from __future__ import annotations

import json
import math

from benchmarks.solver.factorlens_runner import fit_problem, log_progress, long_running_solver, lowest_errors
from benchmarks.solver.networks import CACHE
from benchmarks.solver.problems import RANKS, Problem


def reference(problem: Problem, quick: bool) -> dict[int, float]:
    """The smallest squared errors known, from long runs of ours and, unless quick, of scikit-learn; cached."""
    known = best_known(problem)
    if known:
        return known
    log_progress("  reference: long runs")
    for seed in (101, 102):
        solver = long_running_solver(100, 1e-6, n_init=6, n_sampled_rows=8192)
        fit = fit_problem(problem, seed, solver=solver)
        known = remember_best(problem, lowest_errors(problem, fit))
    if not quick and problem.m < 30_000:
        from sklearn.decomposition import NMF

        for rank in RANKS:
            model = NMF(rank, init="nndsvd", tol=1e-6, max_iter=500, random_state=0).fit(problem.X)
            known = remember_best(problem, {rank: float(model.reconstruction_err_) ** 2})
    return known


def best_known(problem: Problem) -> dict[int, float]:
    """The smallest squared error ever found for this problem at each rank; empty if none is known."""
    path = CACHE / f"best-{problem.digest}.json"
    if not path.exists():
        return {}
    return {int(rank): sse for rank, sse in json.loads(path.read_text()).items()}


def remember_best(problem: Problem, sse: dict[int, float]) -> dict[int, float]:
    """Lowers the known errors by ``sse`` where that is smaller; returns the result."""
    known = best_known(problem)
    merged = {}
    for rank in sorted({*known, *sse}):
        merged[rank] = min(known.get(rank, math.inf), sse.get(rank, math.inf))
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / f"best-{problem.digest}.json").write_text(json.dumps(merged))
    return merged

"""The best squared errors known of a problem: what "within 1 %" refers to. Kept in the temporary folder."""

from __future__ import annotations

import json
import math

from benchmarks.solver.factorlens_runner import lowest, ours, patient, say
from benchmarks.solver.networks import CACHE
from benchmarks.solver.problems import RANKS, Problem


def reference(problem: Problem, quick: bool) -> dict[int, float]:
    """The best squared errors known, from long runs of ours and, unless quick, of scikit-learn; cached."""
    known = best_known(problem)
    if known:
        return known
    say("  reference: long runs")
    for seed in (101, 102):
        fit = ours(problem, seed, solver=patient(100, 1e-6, n_init=6, n_sampled_rows=8192))
        known = remember_best(problem, lowest(problem, fit))
    if not quick and problem.m < 30_000:
        from sklearn.decomposition import NMF

        for rank in RANKS:
            model = NMF(rank, init="nndsvd", tol=1e-6, max_iter=500, random_state=0).fit(problem.X)
            known = remember_best(problem, {rank: float(model.reconstruction_err_) ** 2})
    return known


def best_known(problem: Problem) -> dict[int, float]:
    """The smallest SSE ever seen for this problem at each rank; empty when nothing is known."""
    path = CACHE / f"best-{problem.digest}.json"
    return {int(r): v for r, v in json.loads(path.read_text()).items()} if path.exists() else {}


def remember_best(problem: Problem, sse: dict[int, float]) -> dict[int, float]:
    """Lowers what is known by ``sse`` where that is smaller; returns the result."""
    known = best_known(problem)
    merged = {r: min(known.get(r, math.inf), sse.get(r, math.inf)) for r in sorted({*known, *sse})}
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / f"best-{problem.digest}.json").write_text(json.dumps(merged))
    return merged

"""Seconds until every rank is good: ours and the peers from nothing, ours from its own earlier factors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.reporting import median
from benchmarks.solver.best_errors import remember_best
from benchmarks.solver.factorlens_runner import errors, ours, say, timed
from benchmarks.solver.measure import Peer, Run, measure
from benchmarks.solver.peers.installed import peers
from benchmarks.solver.peers.prototype import prototype_runs
from benchmarks.solver.problems import RANKS, Problem

#: Allowed excess over the best squared error known.
WITHIN = 0.01
OURS, WARM = "ours, cold", "ours, warm"


def cold(
    problem: Problem, best: dict[int, float], seeds: int, quick: bool, only: Sequence[str], prototype: Path | None
) -> dict[str, Any]:
    """Every solver from nothing on all ranks, over the seeds.

    Ours runs on every seed. When quick a peer runs once, and no longer than 1.2 × the best of its library unless it
    is the library's default; the best of every library runs twice. Otherwise a peer that misses on its first
    two seeds is not tried again.

    Args:
        problem: What.
        best: Smallest SSE known, a rank.
        seeds: How many.
        quick: Fewer runs of the peers.
        only: Words of which a peer's name must hold one.
        prototype: Folder of the prototype.

    Returns:
        A summary and the runs of every solver, and the libraries that are missing.
    """
    runs: dict[str, list[Run]] = {OURS: []}
    ours(problem)  # first calls pay for page faults and lazy imports
    for seed in range(seeds):
        runs[OURS].append(_our_run(problem, best, seed))
    runs |= prototype_runs(problem, best, WITHIN, prototype, 3 if quick else seeds)
    every, missing = peers(quick)
    every = [p for p in every if any(word in p.name for word in only)]
    if problem.name != "mnist" and quick:
        inits = ("nndsvd", "nndsvdar") if problem.name == "synth" else ("nndsvd", "nndsvda", "nndsvdar", "random")
        every = [p for p in every if p.name in [f"scikit-learn cd {init}" for init in inits]]
    patience = 60.0 * max(1.0, problem.m / 20_000)
    if quick:
        runs |= _quick_peers(every, problem, best, patience)
    else:
        runs |= _all_peers(every, problem, best, patience, seeds)
    libraries = {p.name: (p.library, p.default) for p in every}
    table = {name: {**_summary(r), "runs": [asdict(x) for x in r]} for name, r in runs.items()}
    for name, row in table.items():
        row["library"], row["default"] = libraries.get(name, (name.split(",")[0].split(" ")[0], False))
    return {"solvers": table, "missing": missing}


def warm(problem: Problem, before: Problem, best: dict[int, float], seeds: int) -> dict[str, Any]:
    """Ours on a snapshot, from its own factors of the snapshot a hundred training steps earlier."""
    runs = []
    for seed in range(seeds):
        start = ours(before, seed).F
        runs.append(_our_run(problem, best, seed, start=start))
    found = {**_summary(runs), "runs": [asdict(r) for r in runs]}
    say(f"  {WARM}: {found['cpu']:.3f} s, {found['hits']}/{found['of']}, worst gap {found['worst_gap']:.4f}")
    return found


def _all_peers(
    every: list[Peer], problem: Problem, best: dict[int, float], patience: float, seeds: int
) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {}
    for peer in every:
        runs[peer.name] = []
        for seed in range(seeds):
            if seed < 2 or any(r.hit for r in runs[peer.name]):
                runs[peer.name].append(measure(peer, problem, best, WITHIN, seed, patience))
        say(f"  {peer.name}: {[round(r.cpu, 2) if r.hit else '-' for r in runs[peer.name]]}")
    return runs


def _quick_peers(every: list[Peer], problem: Problem, best: dict[int, float], patience: float) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {}
    fastest: dict[str, float] = {}
    for peer in every:
        budget = 1.2 * fastest.get(peer.library, patience / 6)
        budget = patience * 2 / 3 if peer.default and problem.name == "mnist" else budget
        run = measure(peer, problem, best, WITHIN, 0, budget)
        say(f"  {peer.name}: {run.cpu:.2f} s {'hit' if run.hit else 'missed'} {run.error}")
        runs[peer.name] = [run]
        if run.hit:
            fastest[peer.library] = min(run.cpu, fastest.get(peer.library, math.inf))
    for library in fastest:
        hits = [p for p in every if p.library == library and runs[p.name][0].hit]
        peer = min(hits, key=lambda p: runs[p.name][0].cpu)
        runs[peer.name].append(measure(peer, problem, best, WITHIN, 1, patience))
    return runs


def _our_run(problem: Problem, best: dict[int, float], seed: int, **options: Any) -> Run:
    fit, cpu, wall = timed(lambda: ours(problem, seed, **options))
    found = errors(fit)
    remember_best(problem, found)
    gaps = {r: found[r] / best[r] - 1 for r in RANKS}
    return Run(cpu, wall, gaps, dict.fromkeys(RANKS, fit.n_iter), max(gaps.values()) <= WITHIN)


def _summary(runs: Sequence[Run]) -> dict[str, Any]:
    """Median and spread of the runs that hit, the share that did, and the worst rank's gap where they stopped."""
    hits = [r for r in runs if r.hit]
    cpu = sorted(r.cpu for r in hits)
    return {
        "cpu": median(cpu),
        "cpu_low": cpu[0] if cpu else math.nan,
        "cpu_high": cpu[-1] if cpu else math.nan,
        "wall": median(r.wall for r in hits),
        "hits": len(hits),
        "of": len(runs),
        "worst_gap": median(max(r.gaps.values(), default=math.nan) for r in runs),
        "given_up_after": max((r.cpu for r in runs if not r.hit), default=math.nan),
        "error": next((r.error for r in runs if r.error), ""),
    }

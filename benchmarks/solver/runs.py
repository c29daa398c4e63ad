"""Seconds until every rank has a good fit: our solver and the peers from scratch, ours also from earlier factors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.reporting import median
from benchmarks.solver.best_errors import remember_best
from benchmarks.solver.factorlens_runner import errors, fit_problem, log_progress, timed
from benchmarks.solver.measure import Peer, Run, measure
from benchmarks.solver.peers.installed import peers
from benchmarks.solver.peers.prototype import prototype_runs
from benchmarks.solver.problems import RANKS, Problem

#: Allowed excess over the smallest squared error known.
WITHIN = 0.01
#: Names of the rows of our solver.
OURS = "ours, cold"
WARM = "ours, warm"

#: Runs by the name of their row.
Runs = dict[str, list[Run]]


def cold(
    problem: Problem, best: dict[int, float], seeds: int, quick: bool, only: Sequence[str], prototype: Path | None
) -> dict[str, Any]:
    """Runs every solver from scratch on all ranks, over the seeds.

    Our solver runs on every seed. If quick, a peer runs once and no longer than 1.2 × the best of its library, unless
    it is the library's default; the best of every library runs twice. Otherwise a peer that misses on its first two
    seeds is not run on the others.

    Args:
        problem: The problem.
        best: The smallest squared error known, by rank.
        seeds: Number of seeds.
        quick: Whether to run the peers less often.
        only: A peer runs if its name contains one of these words.
        prototype: Folder of the prototype, or None.

    Returns:
        A summary and the runs of every solver, and a line for each library that is not installed.
    """
    runs: Runs = {OURS: []}
    fit_problem(problem)  # the first call is slower: page faults and lazy imports
    for seed in range(seeds):
        runs[OURS].append(_our_run(problem, best, seed))
    runs |= prototype_runs(problem, best, WITHIN, prototype, 3 if quick else seeds)
    installed, missing = peers(quick)
    chosen = [peer for peer in installed if any(word in peer.name for word in only)]
    if problem.name != "mnist" and quick:
        inits = ("nndsvd", "nndsvdar") if problem.name == "synth" else ("nndsvd", "nndsvda", "nndsvdar", "random")
        names = [f"scikit-learn cd {init}" for init in inits]
        chosen = [peer for peer in chosen if peer.name in names]
    budget = 60.0 * max(1.0, problem.m / 20_000)
    if quick:
        runs |= _quick_peers(chosen, problem, best, budget)
    else:
        runs |= _all_peers(chosen, problem, best, budget, seeds)
    return {"solvers": _table(runs, chosen), "missing": missing}


def warm(problem: Problem, before: Problem, best: dict[int, float], seeds: int) -> dict[str, Any]:
    """Runs our solver on a snapshot, from its own factors of the snapshot a hundred training steps earlier."""
    runs = []
    for seed in range(seeds):
        start = fit_problem(before, seed).F
        runs.append(_our_run(problem, best, seed, start=start))
    found = {**_summary(runs), "runs": [asdict(run) for run in runs]}
    log_progress(f"  {WARM}: {found['cpu']:.3f} s, {found['hits']}/{found['of']}, worst gap {found['worst_gap']:.4f}")
    return found


def _table(runs: Runs, chosen: Sequence[Peer]) -> dict[str, dict[str, Any]]:
    """The summary, the runs and the library of every row."""
    libraries = {peer.name: (peer.library, peer.default) for peer in chosen}
    table = {}
    for name, of_name in runs.items():
        row = {**_summary(of_name), "runs": [asdict(run) for run in of_name]}
        first_word = name.split(",")[0].split(" ")[0]
        row["library"], row["default"] = libraries.get(name, (first_word, False))
        table[name] = row
    return table


def _all_peers(chosen: list[Peer], problem: Problem, best: dict[int, float], budget: float, seeds: int) -> Runs:
    runs: Runs = {}
    for peer in chosen:
        runs[peer.name] = []
        for seed in range(seeds):
            if seed < 2 or any(run.hit for run in runs[peer.name]):
                runs[peer.name].append(measure(peer, problem, best, WITHIN, seed, budget))
        log_progress(f"  {peer.name}: {[round(run.cpu, 2) if run.hit else '-' for run in runs[peer.name]]}")
    return runs


def _quick_peers(chosen: list[Peer], problem: Problem, best: dict[int, float], budget: float) -> Runs:
    runs: Runs = {}
    fastest: dict[str, float] = {}
    for peer in chosen:
        limit = 1.2 * fastest.get(peer.library, budget / 6)
        if peer.default and problem.name == "mnist":
            limit = budget * 2 / 3
        run = measure(peer, problem, best, WITHIN, 0, limit)
        log_progress(f"  {peer.name}: {run.cpu:.2f} s {'hit' if run.hit else 'missed'} {run.error}")
        runs[peer.name] = [run]
        if run.hit:
            fastest[peer.library] = min(run.cpu, fastest.get(peer.library, math.inf))
    for library in fastest:
        hits = [peer for peer in chosen if peer.library == library and runs[peer.name][0].hit]
        best_peer = min(hits, key=lambda peer: runs[peer.name][0].cpu)
        runs[best_peer.name].append(measure(best_peer, problem, best, WITHIN, 1, budget))
    return runs


def _our_run(problem: Problem, best: dict[int, float], seed: int, **options: Any) -> Run:
    fit, cpu, wall = timed(lambda: fit_problem(problem, seed, **options))
    found = errors(fit)
    remember_best(problem, found)
    gaps = {rank: found[rank] / best[rank] - 1 for rank in RANKS}
    return Run(cpu, wall, gaps, dict.fromkeys(RANKS, fit.n_iter), max(gaps.values()) <= WITHIN)


def _summary(runs: Sequence[Run]) -> dict[str, Any]:
    """Median and range of the runs that hit, how many did, and the worst rank's gap where the runs ended."""
    hits = [run for run in runs if run.hit]
    missed = [run for run in runs if not run.hit]
    cpu = sorted(run.cpu for run in hits)
    return {
        "cpu": median(cpu),
        "cpu_low": cpu[0] if cpu else math.nan,
        "cpu_high": cpu[-1] if cpu else math.nan,
        "wall": median(run.wall for run in hits),
        "hits": len(hits),
        "of": len(runs),
        "worst_gap": median(max(run.gaps.values(), default=math.nan) for run in runs),
        "given_up_after": max((run.cpu for run in missed), default=math.nan),
        "error": next((run.error for run in runs if run.error), ""),
    }

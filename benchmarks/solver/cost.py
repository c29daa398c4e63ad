"""What a pass of the solver costs beside its two matrix products, and how a fit's cost grows with the problem."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from benchmarks.reporting import median
from benchmarks.solver.factorlens_runner import ours, patient, say, timed
from benchmarks.solver.networks import SAMPLES
from benchmarks.solver.problems import RANKS, Problem, planted


def passes(problem: Problem, repeats: int = 5) -> dict[str, float]:
    """Seconds of one pass over all rows beside its two products, and of six ranks beside the largest alone.

    A pass is the difference between fits of 12 and of 4 passes. The floor is the faster of two layouts of the stack.
    """

    def once(ranks: Sequence[int], n: int) -> tuple[float, int]:
        solver = patient(n, 0.0, n_init=1, n_sampled_rows=0)
        fit, cpu, _ = timed(lambda: ours(problem, ranks=ranks, solver=solver))
        return cpu, fit.n_iter

    def a_pass(ranks: Sequence[int]) -> float:
        pairs = [(once(ranks, 12), once(ranks, 4)) for _ in range(repeats)]
        return median((a[0] - b[0]) / (a[1] - b[1]) for a, b in pairs)

    stacked = torch.cat([b.samples for b in problem.blocks], 1)
    columns = torch.from_numpy(problem.X)
    floors = {}
    for label, ranks in (("six", RANKS), ("largest", RANKS[-1:])):
        F, W = torch.rand(sum(ranks), problem.N), torch.rand(sum(ranks), problem.m)
        for layout, X in (("rows", stacked), ("columns", columns.T)):
            times = [timed(partial(_two_products, F, W, X))[1] for _ in range(2 * repeats + 1)][1:]
            floors[label, layout] = median(times)
    six, largest = a_pass(RANKS), a_pass(RANKS[-1:])
    cold_six = median(timed(partial(ours, problem, s))[1] for s in range(repeats))
    cold_largest = median(timed(partial(ours, problem, s, RANKS[-1:]))[1] for s in range(repeats))
    floor = min(floors["six", layout] for layout in ("rows", "columns"))
    found = {
        "pass": six,
        "two_products": floor,
        "two_products_as_stored": floors["six", "rows"],
        "pass_over_products": six / floor,
        "pass_largest_alone": largest,
        "two_products_largest": min(floors["largest", layout] for layout in ("rows", "columns")),
        "cold_six": cold_six,
        "cold_largest_alone": cold_largest,
        "six_over_largest_cold": cold_six / cold_largest,
        "six_over_largest_pass": six / largest,
    }
    say(f"  pass {six:.3f} s = {six / floor:.2f} × its products; six over largest {cold_six / cold_largest:.2f} cold")
    return found


def _two_products(F: torch.Tensor, W: torch.Tensor, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return F @ X, W @ X.T


def sweep(quick: bool) -> dict[str, dict[int, float]]:
    """Processor seconds of a cold fit as features, samples and the number of ranks grow, on planted blocks."""
    many = (10_000, 30_000, 100_000) if quick else (10_000, 30_000, 100_000, 300_000, 1_000_000)
    found: dict[str, dict[int, float]] = {"m": {}, "N": {}, "ranks": {}}
    for m in many:
        found["m"][m] = _cold_seconds(planted(m, SAMPLES))
        say(f"  m = {m}: {found['m'][m]:.2f} s")
    for N in (64, 128, 256, 512, 1024, 2048):
        found["N"][N] = _cold_seconds(planted(20_000, N))
        say(f"  N = {N}: {found['N'][N]:.2f} s")
    problem = planted(20_000, SAMPLES)
    for count in (1, 2, 4, 8, 16):
        ranks = sorted({int(r) for r in np.linspace(32 / count, 32, count).round()})
        found["ranks"][len(ranks)] = _cold_seconds(problem, ranks)
        say(f"  {len(ranks)} ranks to 32: {found['ranks'][len(ranks)]:.2f} s")
    return found


def _cold_seconds(problem: Problem, ranks: Sequence[int] = RANKS) -> float:
    """The faster of two cold fits."""
    return min(timed(lambda: ours(problem, ranks=ranks))[1] for _ in range(2))

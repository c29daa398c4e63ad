"""Cost of one iteration of the solver relative to its two matrix products, and growth of a fit's cost with its size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from benchmarks.reporting import median
from benchmarks.solver.factorlens_runner import fit_problem, log_progress, long_running_solver, timed
from benchmarks.solver.networks import SAMPLES
from benchmarks.solver.problems import RANKS, Problem, planted


def iteration_cost(problem: Problem, repeats: int = 5) -> dict[str, float]:
    """Seconds of one iteration over all rows and of its two products, and of six ranks and of the largest alone.

    An iteration is the difference between fits of 12 and of 4 iterations. The products are timed in two layouts of the
    stack, of which the faster counts.
    """
    floors = _product_seconds(problem, repeats)
    six = _iteration_seconds(problem, RANKS, repeats)
    largest = _iteration_seconds(problem, RANKS[-1:], repeats)
    cold_six = median(timed(partial(fit_problem, problem, s))[1] for s in range(repeats))
    cold_largest = median(timed(partial(fit_problem, problem, s, RANKS[-1:]))[1] for s in range(repeats))
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
    log_progress(
        f"  iteration {six:.3f} s = {six / floor:.2f} × its products; six ranks over the largest "
        f"{cold_six / cold_largest:.2f} cold"
    )
    return found


def _product_seconds(problem: Problem, repeats: int) -> dict[tuple[str, str], float]:
    """Seconds of the two products by ranks (``"six"`` or ``"largest"``) and layout (``"rows"`` or ``"columns"``)."""
    stacked = torch.cat([block.samples for block in problem.blocks], 1)
    columns = torch.from_numpy(problem.X)
    floors = {}
    for label, ranks in (("six", RANKS), ("largest", RANKS[-1:])):
        F = torch.rand(sum(ranks), problem.N)
        W = torch.rand(sum(ranks), problem.m)
        for layout, X in (("rows", stacked), ("columns", columns.T)):
            times = [timed(partial(_two_products, F, W, X))[1] for _ in range(2 * repeats + 1)]
            floors[label, layout] = median(times[1:])
    return floors


def _two_products(F: torch.Tensor, W: torch.Tensor, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return F @ X, W @ X.T


def _iteration_seconds(problem: Problem, ranks: Sequence[int], repeats: int) -> float:
    """Processor seconds of one iteration, the median over pairs of fits of different length."""
    seconds = []
    for _ in range(repeats):
        long_seconds, long_count = _fit_seconds(problem, ranks, 12)
        short_seconds, short_count = _fit_seconds(problem, ranks, 4)
        seconds.append((long_seconds - short_seconds) / (long_count - short_count))
    return median(seconds)


def _fit_seconds(problem: Problem, ranks: Sequence[int], iterations: int) -> tuple[float, int]:
    """Processor seconds and number of iterations of a fit without sampled rows."""
    solver = long_running_solver(iterations, 0.0, n_init=1, n_sampled_rows=0)
    fit, cpu, _ = timed(lambda: fit_problem(problem, ranks=ranks, solver=solver))
    return cpu, fit.n_iter


def sweep(quick: bool) -> dict[str, dict[int, float]]:
    """Processor seconds of a cold fit as features, samples and the number of ranks grow, on planted blocks."""
    feature_counts = (10_000, 30_000, 100_000) if quick else (10_000, 30_000, 100_000, 300_000, 1_000_000)
    found: dict[str, dict[int, float]] = {"m": {}, "N": {}, "ranks": {}}
    for m in feature_counts:
        found["m"][m] = _cold_seconds(planted(m, SAMPLES))
        log_progress(f"  m = {m}: {found['m'][m]:.2f} s")
    for N in (64, 128, 256, 512, 1024, 2048):
        found["N"][N] = _cold_seconds(planted(20_000, N))
        log_progress(f"  N = {N}: {found['N'][N]:.2f} s")
    problem = planted(20_000, SAMPLES)
    for count in (1, 2, 4, 8, 16):
        ranks = sorted({int(r) for r in np.linspace(32 / count, 32, count).round()})
        found["ranks"][len(ranks)] = _cold_seconds(problem, ranks)
        log_progress(f"  {len(ranks)} ranks to 32: {found['ranks'][len(ranks)]:.2f} s")
    return found


def _cold_seconds(problem: Problem, ranks: Sequence[int] = RANKS) -> float:
    """Processor seconds of the faster of two cold fits."""
    return min(timed(lambda: fit_problem(problem, ranks=ranks))[1] for _ in range(2))

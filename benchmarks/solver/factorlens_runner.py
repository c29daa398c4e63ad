"""Our solver under the clock, as the solver's benchmark runs it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from benchmarks.solver.problems import RANKS, Problem
from lightning_factorlens.factorization import HALS, factorize
from lightning_factorlens.results import Factorization

BEGAN = time.perf_counter()


def say(line: str) -> None:
    """Progress and seconds since the start, on standard error."""
    print(f"{time.perf_counter() - BEGAN:6.0f} s  {line}", file=sys.stderr, flush=True)


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a call returns, its processor seconds and its wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def ours(problem: Problem, seed: int = 0, ranks: Sequence[int] = RANKS, **options: Any) -> Factorization:
    """Our solver on the unweighted blocks: the same problem as the peers'."""
    return factorize(problem.blocks, ranks, weighting="raw", seed=seed, **options)


def errors(fit: Factorization) -> dict[int, float]:
    """SSE over all blocks, a rank."""
    return dict(zip(fit.ranks, fit.sse.sum(1).tolist()))


def lowest(problem: Problem, fit: Factorization) -> dict[int, float]:
    """The smaller of the final SSE and the objective on the way: the final W is fitted anew, by a few sweeps."""
    return {r: min(e, o * problem.energy) for (r, e), o in zip(errors(fit).items(), fit.objective)}


def patient(iterations: int, tol: float, **options: Any) -> HALS:
    """Our solver with every limit on iterations set to ``iterations`` and every tolerance to ``tol``."""
    for field in fields(HALS):
        if field.name.endswith("_iter"):
            options[field.name] = iterations
        elif field.name.endswith("tol"):
            options[field.name] = tol
    return HALS(**options)

"""Calls our solver as the benchmark of the solver does, and measures its time."""

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


def log_progress(line: str) -> None:
    """Prints a line and the seconds since the start of the process, on standard error."""
    print(f"{time.perf_counter() - BEGAN:6.0f} s  {line}", file=sys.stderr, flush=True)


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result of a call, its processor seconds and its wall seconds."""
    cpu = time.process_time()
    wall = time.perf_counter()
    result = call()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def fit_problem(problem: Problem, seed: int = 0, ranks: Sequence[int] = RANKS, **options: Any) -> Factorization:
    """Our solver on the unweighted blocks, which is the problem that the peers solve."""
    return factorize(problem.blocks, ranks, weighting="raw", seed=seed, **options)


def errors(fit: Factorization) -> dict[int, float]:
    """The squared error over all blocks, by rank."""
    return dict(zip(fit.ranks, fit.sse.sum(1).tolist()))


def lowest_errors(problem: Problem, fit: Factorization) -> dict[int, float]:
    """By rank the smaller of the final squared error and the last objective, as the final W is fitted once more."""
    found = {}
    for (rank, error), objective in zip(errors(fit).items(), fit.objective):
        found[rank] = min(error, objective * problem.energy)
    return found


def long_running_solver(iterations: int, tol: float, **options: Any) -> HALS:
    """Our solver with every limit on iterations set to ``iterations`` and every tolerance to ``tol``."""
    for field in fields(HALS):
        if field.name.endswith("_iter"):
            options[field.name] = iterations
        elif field.name.endswith("tol"):
            options[field.name] = tol
    return HALS(**options)

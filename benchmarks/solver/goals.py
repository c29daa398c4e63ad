"""The figures of the solver, each with its goal."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.reporting import Figure
from benchmarks.solver.runs import OURS


def fastest(payload: dict[str, Any], problem: str, library: str, default: bool = False) -> tuple[str, float]:
    """The variant of a library that is fastest among those that hit on most seeds.

    Args:
        payload: The results.
        problem: Name of the problem.
        library: Name of the library.
        default: Whether only the library's default settings count.

    Returns:
        The variant's name and its seconds. A library of which no variant hits counts with the seconds after which its
        runs were ended.
    """
    rows = payload["cold"].get(problem, {}).get("solvers", {})
    seconds = {}
    seconds_until_given_up = {}
    for name, row in rows.items():
        if row["library"] != library or (default and not row["default"]):
            continue
        if 2 * row["hits"] > row["of"]:
            seconds[name] = row["cpu"]
        if not row["error"]:
            seconds_until_given_up[name] = row["given_up_after"]
    candidates = seconds or seconds_until_given_up
    return min(candidates.items(), key=lambda item: item[1]) if candidates else ("none", math.nan)


def judge(payload: dict[str, Any]) -> list[Figure]:
    """All figures of the solver."""
    return [
        *_cold_figures(payload),
        *_warm_figures(payload),
        *_cost_figures(payload),
        *_jitter_figures(payload.get("jitter", {})),
    ]


def _ours(payload: dict[str, Any], problem: str, key: str) -> float:
    row = payload["cold"].get(problem, {}).get("solvers", {}).get(OURS, {})
    return float(row.get(key, math.nan))


def _speedup(payload: dict[str, Any], problem: str, library: str, default: bool = False) -> float:
    return fastest(payload, problem, library, default)[1] / _ours(payload, problem, "cpu")


def _cold_figures(payload: dict[str, Any]) -> list[Figure]:
    figures = [
        Figure("cold_vs_best_sklearn_mnist", _speedup(payload, "mnist", "scikit-learn"), 12),
        Figure("cold_vs_best_sklearn_big", _speedup(payload, "big", "scikit-learn"), 25),
    ]
    for library, goal in (("nmf-torch", 10), ("tensorly", 30)):
        key = library.replace("-", "_")
        figures.append(Figure(f"cold_vs_best_{key}_mnist", _speedup(payload, "mnist", library), goal))
        figures.append(Figure(f"cold_vs_default_{key}_mnist", _speedup(payload, "mnist", library, default=True), goal))
    for problem in ("mnist", "big"):
        rate = _ours(payload, problem, "hits") / _ours(payload, problem, "of")
        figures.append(Figure(f"hit_rate_{problem}", rate, 7 / 8))
    return figures


def _warm_figures(payload: dict[str, Any]) -> list[Figure]:
    figures = []
    for problem in ("mnist", "big"):
        row = payload["warm"].get(problem, {})
        best = fastest(payload, problem, "scikit-learn")[1]
        figures.append(Figure(f"warm_vs_best_sklearn_{problem}", best / row.get("cpu", math.nan), 40))
        figures.append(Figure(f"warm_hit_rate_{problem}", row.get("hits", math.nan) / row.get("of", math.nan), 7 / 8))
    return figures


def _cost_figures(payload: dict[str, Any]) -> list[Figure]:
    figures = []
    for problem in ("mnist", "big"):
        row = payload["passes"].get(problem, {})
        figures.append(Figure(f"pass_over_products_{problem}", row.get("pass_over_products", math.nan), 1.25, True))
        figures.append(Figure(f"six_over_rank32_{problem}", row.get("six_over_largest_cold", math.nan), 1.5, True))
    return figures


def _jitter_figures(jitter: dict[str, Any]) -> list[Figure]:
    figures = []
    for name, key in (("jitter_percent", "jitter"), ("drift_percent", "drift")):
        worst = 100 * max(jitter[key].values()) if jitter else math.nan
        figures.append(Figure(name, worst, 0.15, at_most=True))
    figures.append(Figure("monotone_snapshots", jitter.get("monotone", math.nan), jitter.get("snapshots", 10)))
    return figures

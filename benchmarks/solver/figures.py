"""The solver's figures, each with its goal."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.reporting import Figure
from benchmarks.solver.runs import OURS


def fastest(payload: dict[str, Any], problem: str, library: str, default: bool = False) -> tuple[str, float]:
    """The best variant of a library that hits on most seeds (or its default settings), and its seconds.

    A library that never hits counts with the seconds after which it was given up.
    """
    rows = payload["cold"].get(problem, {}).get("solvers", {})
    mine = {n: r for n, r in rows.items() if r["library"] == library and (r["default"] or not default)}
    good = {n: r["cpu"] for n, r in mine.items() if 2 * r["hits"] > r["of"]}
    if not good:
        good = {n: r["given_up_after"] for n, r in mine.items() if not r["error"]}
    return min(good.items(), key=lambda item: item[1]) if good else ("none", math.nan)


def judge(payload: dict[str, Any]) -> list[Figure]:
    """The acceptance figures of the solver, 1 to 3."""
    figures = []

    def our(problem: str, key: str) -> float:
        return payload["cold"].get(problem, {}).get("solvers", {}).get(OURS, {}).get(key, math.nan)

    def over(problem: str, library: str, default: bool = False) -> float:
        return fastest(payload, problem, library, default)[1] / our(problem, "cpu")

    figures.append(Figure("cold_vs_best_sklearn_mnist", over("mnist", "scikit-learn"), 12))
    figures.append(Figure("cold_vs_best_sklearn_big", over("big", "scikit-learn"), 25))
    for library, goal in (("nmf-torch", 10), ("tensorly", 30)):
        key = library.replace("-", "_")
        figures.append(Figure(f"cold_vs_best_{key}_mnist", over("mnist", library), goal))
        figures.append(Figure(f"cold_vs_default_{key}_mnist", over("mnist", library, default=True), goal))
    for problem in ("mnist", "big"):
        figures.append(Figure(f"hit_rate_{problem}", our(problem, "hits") / our(problem, "of"), 7 / 8))
    for problem in ("mnist", "big"):
        row = payload["warm"].get(problem, {})
        best = fastest(payload, problem, "scikit-learn")[1]
        figures.append(Figure(f"warm_vs_best_sklearn_{problem}", best / row.get("cpu", math.nan), 40))
        figures.append(Figure(f"warm_hit_rate_{problem}", row.get("hits", math.nan) / row.get("of", math.nan), 7 / 8))
    for problem in ("mnist", "big"):
        row = payload["passes"].get(problem, {})
        figures.append(Figure(f"pass_over_products_{problem}", row.get("pass_over_products", math.nan), 1.25, True))
        figures.append(Figure(f"six_over_rank32_{problem}", row.get("six_over_largest_cold", math.nan), 1.5, True))
    shaky = payload.get("jitter", {})
    for name, key in (("jitter_percent", "jitter"), ("drift_percent", "drift")):
        worst = 100 * max(shaky[key].values()) if shaky else math.nan
        figures.append(Figure(name, worst, 0.15, True))
    figures.append(Figure("monotone_snapshots", shaky.get("monotone", math.nan), shaky.get("snapshots", 10)))
    return figures

"""The section of the solver in the README."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.reporting import Figure, markdown_table
from benchmarks.solver.problems import RANKS
from benchmarks.solver.runs import WARM, WITHIN

_SCATTERS = (
    ("jitter", "jitter"),
    ("drift", "drift"),
    ("mean of the excess", "bias"),
    ("scatter around a parabola", "around_trend"),
)


def report(payload: dict[str, Any], figures: Sequence[Figure]) -> str:
    """The section of the README."""
    about = payload["machine"]
    names = list(payload["cold"])
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items() if v != "absent")
    peer_rows = []
    solvers: dict[str, None] = {}  # in the order of their first appearance
    for name in names:
        solvers |= dict.fromkeys(payload["cold"][name]["solvers"])
    for solver in solvers:
        peer_rows.append([solver, *(_cell(payload["cold"][p]["solvers"].get(solver)) for p in names)])
    peer_rows.insert(1, [WARM, *(_cell(payload["warm"].get(p)) for p in names)])
    cost = payload["passes"]
    cost_rows = [
        ["one iteration over all rows, six ranks", *(f"{cost[p]['pass'] * 1e3:.0f} ms" for p in names)],
        ["… over its two products", *(f"{cost[p]['pass_over_products']:.2f} ×" for p in names)],
        ["six ranks over rank 32 alone, cold", *(f"{cost[p]['six_over_largest_cold']:.2f} ×" for p in names)],
        ["… per iteration", *(f"{cost[p]['six_over_largest_pass']:.2f} ×" for p in names)],
    ]
    problems = "; ".join(f"**{p}** {v['m']:,} × {v['N']}, {v['source']}" for p, v in payload["problems"].items())
    parts = [
        "## The solver" + (" (quick run)" if payload["quick"] else ""),
        f"`python -m benchmarks.solver{' --quick' * payload['quick']}`, {about['date'][:10]}, one thread of "
        f"{about['processor']}, {versions}. {problems}.",
        f"Processor seconds until all of the ranks {', '.join(map(str, RANKS))} are within {WITHIN:.0%} of the best "
        "squared error known: median (lowest to highest; seeds that succeeded / tried; excess at the worst rank). "
        "A peer is charged for its initialization and its iterations up to that point, not for a stopping rule; ours "
        "for the whole call. `>`: ended without success after so many seconds.",
        markdown_table(["", *names], peer_rows),
        markdown_table(["cost", *names], cost_rows),
    ]
    if "jitter" in payload:
        parts += _jitter(payload["jitter"])
    parts.append("![Seconds to a good fit by solver; growth with size; jitter by rank](results/solver.png)")
    parts.append("```\n" + "\n".join(map(str, figures)) + "\n```")
    return "\n\n".join(parts)


def _jitter(shaky: dict[str, Any]) -> list[str]:
    rows = [[label, *(f"{100 * shaky[key][r]:.3f} %" for r in RANKS)] for label, key in _SCATTERS]
    return [
        f"Warm rmse over {shaky['snapshots']} snapshots of training, {shaky['monotone']} of them monotone in the rank: "
        "its excess over the best value known of the same snapshot. Jitter is the scatter of the steps of that excess "
        "from one snapshot to the next (over √2), which is the visible noise of a curve; drift is the scatter of the "
        "excess itself over all snapshots, its slow change after the cold start included. The last row is the scatter "
        "of log rmse around a parabola over the snapshots, which the training itself moves.",
        markdown_table(["rank", *map(str, RANKS)], rows),
    ]


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["error"]:
        return "fails"
    share = f"{row['hits']}/{row['of']}, {100 * row['worst_gap']:+.2f} %"
    if not row["hits"]:
        return f"> {row['given_up_after']:.0f} s ({share})"
    return f"{row['cpu']:.2f} s ({row['cpu_low']:.2f} to {row['cpu_high']:.2f}; {share})"

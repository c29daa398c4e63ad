"""The feature budget's figures and its section of benchmarks/README.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.reporting import Figure, markdown_table
from benchmarks.solver.networks import STRIDE

#: The budget of a lens that is not told otherwise, and what its total curve is held to: an error that stays within
#: what a hundred training steps change, so that the budget does not decide what one reads off a curve.
BUDGET, CURVE = 4096, 1.0
#: rank@τ reads a flat curve sideways: where the error falls as rank^−0.2, 1 % of error is 5 % of rank.
SIDEWAYS = 5.0
_LABELS = {"rmse": "rmse", "rel_error": "rel_error", "rank_at": "rank@", "effective_rank": "effective rank"}


def judge(payload: dict[str, Any]) -> list[Figure]:
    """Bias and spread of the total's numbers at the default budget, the worst of the ranks and of the two errors."""
    row = payload["budgets"].get(BUDGET)
    goals: list[tuple[str, tuple[str, ...], float]] = [
        ("", ("rmse", "rel_error"), CURVE),
        ("_rank_at", ("rank_at",), SIDEWAYS),
        ("_effective_rank", ("effective_rank",), CURVE),
    ]
    figures = []
    for label, names, goal in goals:
        for key in ("bias", "spread"):
            value = math.nan if row is None else 100 * worst([v for n in names for v in row[key]["total"][n]])
            figures.append(Figure(f"budget{BUDGET}{label}_{key}_percent", abs(value), goal, True))
    return figures


def worst(values: Sequence[float]) -> float:
    """The value furthest from zero; NaN only where all are."""
    return max((v for v in values if not math.isnan(v)), key=abs, default=math.nan)


def report(payload: dict[str, Any], figures: Sequence[Figure]) -> str:
    """The section of benchmarks/README.md."""
    neurons, moves = payload["all"]["neurons"], payload["training"]["total"]
    least = 100 * min(abs(v) for name in ("rmse", "rel_error") for v in moves[name])
    return "\n\n".join(
        [
            "## The feature budget",
            f"`python -m benchmarks.solver.feature_budget`, {payload['machine']['date'][:10]}: {payload['source']}, "
            f"{payload['images']} images, {sum(neurons.values()):,} neurons in {len(neurons)} blocks, those that "
            "are never active included. A lens keeps at most so many neurons a layer (`max_neurons_per_layer`), drawn "
            "uniformly, and counts each for those left out. Cells: difference to all neurons in percent, mean ± standard deviation "
            f"over {payload['draws']} draws. A run draws once, so its curve is off by one such draw, the same at every "
            "epoch.",
            "Of all blocks together, by rank. “Other solver seeds” keeps all neurons; the last rows are what the net's "
            f"last {STRIDE} training steps changed.",
            markdown_table(["neurons a layer", "", *map(str, payload["ranks"])], _curves(payload, moves)),
            _others(payload, moves),
            "Of every block, the worst rank. An error on few neurons reads low at large ranks because F is fitted to "
            "these neurons alone, and their effective rank reads low because fewer rows span less. “Not reached”: the "
            "error stays above τ at the largest rank.",
            markdown_table(["block", "", *map(_with_commas, payload["budgets"])], _layers(payload)),
            f"Goals, our own, at the default of {BUDGET:,}: {CURVE:g} % on the total's errors and effective rank, for "
            f"{STRIDE} training steps change the errors by {least:.1f} % or more; {SIDEWAYS:g} % on rank@τ, "
            "which reads a flat curve sideways.",
            "```\n" + "\n".join(map(str, figures)) + "\n```",
        ]
    )


def _all_rows(payload: dict[str, Any]) -> dict[str, Any]:
    return {"other solver seeds": payload["solver"]} | {_with_commas(b): row for b, row in payload["budgets"].items()}


def _curves(payload: dict[str, Any], moves: dict[str, list[float]]) -> list[list[str]]:
    errors = ("rmse", "rel_error")
    rows = [[label, name, *_cells(row, "total", name)] for label, row in _all_rows(payload).items() for name in errors]
    return rows + [["training", name, *(_number(-100 * v) for v in moves[name])] for name in errors]


def _others(payload: dict[str, Any], moves: dict[str, list[float]]) -> str:
    names, rows = ("rank_at", "effective_rank", "rms"), []
    for label, row in _all_rows(payload).items():
        seconds = f"{row['seconds']:.1f}" if "seconds" in row else f"{payload['all']['seconds']:.1f}"
        rows.append([label, *(c for name in names for c in _cells(row, "total", name)), seconds])
    rows.append(["training", *(_number(-100 * v) for name in names for v in moves[name]), ""])
    taus = [f"rank@{100 * tau:.0f}%" for tau in payload["error_thresholds"]]
    return markdown_table(["neurons a layer", *taus, "effective rank", "rms", "processor seconds"], rows)


def _layers(payload: dict[str, Any]) -> list[list[str]]:
    rows = []
    for block, neurons in payload["all"]["neurons"].items():
        for name, label in _LABELS.items():
            label = f"{label}{100 * payload['error_thresholds'][0]:.0f}%" if name == "rank_at" else label
            cells = []
            for row in payload["budgets"].values():
                bias, spread = row["bias"][block][name], row["spread"][block][name]
                of = slice(0, 1) if name == "rank_at" else slice(None)
                whole = row["kept"][block] == neurons and name == "effective_rank"
                cells.append("all kept" if whole else _cell(worst(bias[of]), worst(spread[of])))
            rows.append([f"{block}, {neurons:,}", label, *cells])
    return rows


def _cells(row: dict[str, Any], part: str, name: str) -> list[str]:
    return [_cell(b, s) for b, s in zip(row["bias"][part][name], row["spread"][part][name])]


def _cell(bias: float, spread: float) -> str:
    return "not reached" if math.isnan(bias) else f"{100 * bias:+.2f} ± {100 * spread:.2f}"


def _number(value: float) -> str:
    return "not reached" if math.isnan(value) else f"{value:+.2f}"


def _with_commas(number: int) -> str:
    return f"{number:,}"

"""The figures of the feature budget and its section of the README."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.reporting import Figure, markdown_table
from benchmarks.solver.networks import STRIDE

#: The default budget of a lens, and the goal for its total curve in percent: an error within what a hundred training
#: steps change, so that the budget does not decide what is read off a curve.
BUDGET = 4096
CURVE_GOAL = 1.0
#: The goal for rank@τ in percent: where the error falls as rank^−0.2, 1 % of the error is 5 % of the rank.
RANK_GOAL = 5.0
_LABELS = {"rmse": "rmse", "rel_error": "rel_error", "rank_at": "rank@", "effective_rank": "effective rank"}

INTRODUCTION = """A lens keeps at most a given number of neurons per layer (`max_neurons_per_layer`), drawn uniformly,
and weights each for those left out. Cells: difference to all neurons in percent, mean ± standard deviation over {draws}
draws. A run draws once, so its curve is off by one such draw, the same at every epoch."""
TOTAL = """Of all blocks together, by rank. “Other solver seeds” keeps all neurons; the last rows are what the
network's last {steps} training steps changed."""
BLOCKS = """Of every block, the worst rank. An error on few neurons is too low at large ranks because F is fitted to
these neurons alone, and their effective rank is too low because fewer rows span less. “Not reached”: the error stays
above τ at the largest rank."""
GOALS = """Goals, our own, at the default of {budget:,}: {curve:g} % on the total's errors and effective rank, because
{steps} training steps change the errors by {least:.1f} % or more; {rank:g} % on rank@τ, because a small change of a
flat curve is a large change of the rank at which it reaches τ."""


def judge(payload: dict[str, Any]) -> list[Figure]:
    """Bias and spread of the total's numbers at the default budget, the worst of the ranks and of the two errors."""
    row = payload["budgets"].get(BUDGET)
    goals: list[tuple[str, tuple[str, ...], float]] = [
        ("", ("rmse", "rel_error"), CURVE_GOAL),
        ("_rank_at", ("rank_at",), RANK_GOAL),
        ("_effective_rank", ("effective_rank",), CURVE_GOAL),
    ]
    figures = []
    for label, names, goal in goals:
        for key in ("bias", "spread"):
            value = math.nan
            if row is not None:
                values = []
                for name in names:
                    values += row[key]["total"][name]
                value = abs(100 * worst(values))
            figures.append(Figure(f"budget{BUDGET}{label}_{key}_percent", value, goal, at_most=True))
    return figures


def worst(values: Sequence[float]) -> float:
    """The value furthest from zero; NaN only where all values are NaN."""
    return max((v for v in values if not math.isnan(v)), key=abs, default=math.nan)


def report(payload: dict[str, Any], figures: Sequence[Figure]) -> str:
    """The section of the README."""
    neurons = payload["all"]["neurons"]
    changes = payload["training"]["total"]
    least = 100 * min(abs(v) for name in ("rmse", "rel_error") for v in changes[name])
    source = (
        f"`python -m benchmarks.solver.feature_budget`, {payload['machine']['date'][:10]}: {payload['source']}, "
        f"{payload['images']} images, {sum(neurons.values()):,} neurons in {len(neurons)} blocks, those that are never "
        "active included."
    )
    goals = GOALS.format(budget=BUDGET, curve=CURVE_GOAL, steps=STRIDE, least=least, rank=RANK_GOAL)
    parts = [
        "## The feature budget",
        f"{source} {INTRODUCTION.format(draws=payload['draws'])}",
        TOTAL.format(steps=STRIDE),
        markdown_table(["neurons per layer", "", *map(str, payload["ranks"])], _curves(payload, changes)),
        _other_numbers(payload, changes),
        BLOCKS,
        markdown_table(["block", "", *map(_with_commas, payload["budgets"])], _blocks(payload)),
        goals,
        "```\n" + "\n".join(map(str, figures)) + "\n```",
    ]
    return "\n\n".join(parts)


def _rows(payload: dict[str, Any]) -> dict[str, Any]:
    """Bias and spread by the label of their row."""
    rows = {"other solver seeds": payload["solver"]}
    for budget, row in payload["budgets"].items():
        rows[_with_commas(budget)] = row
    return rows


def _curves(payload: dict[str, Any], changes: dict[str, list[float]]) -> list[list[str]]:
    errors = ("rmse", "rel_error")
    table = []
    for label, row in _rows(payload).items():
        for name in errors:
            table.append([label, name, *_cells(row, "total", name)])
    for name in errors:
        table.append(["training", name, *(_number(-100 * v) for v in changes[name])])
    return table


def _other_numbers(payload: dict[str, Any], changes: dict[str, list[float]]) -> str:
    names = ("rank_at", "effective_rank", "rms")
    table = []
    for label, row in _rows(payload).items():
        cells = [label]
        for name in names:
            cells += _cells(row, "total", name)
        seconds = row["seconds"] if "seconds" in row else payload["all"]["seconds"]
        table.append([*cells, f"{seconds:.1f}"])
    training = ["training"]
    for name in names:
        training += [_number(-100 * v) for v in changes[name]]
    table.append([*training, ""])
    thresholds = [f"rank@{100 * tau:.0f}%" for tau in payload["error_thresholds"]]
    return markdown_table(["neurons per layer", *thresholds, "effective rank", "rms", "processor seconds"], table)


def _blocks(payload: dict[str, Any]) -> list[list[str]]:
    table = []
    for block, neurons in payload["all"]["neurons"].items():
        for name, label in _LABELS.items():
            if name == "rank_at":
                label = f"{label}{100 * payload['error_thresholds'][0]:.0f}%"
            cells = [_block_cell(row, block, name, neurons) for row in payload["budgets"].values()]
            table.append([f"{block}, {neurons:,}", label, *cells])
    return table


def _block_cell(row: dict[str, Any], block: str, name: str, neurons: int) -> str:
    if name == "effective_rank" and row["kept"][block] == neurons:
        return "all kept"
    chosen = slice(0, 1) if name == "rank_at" else slice(None)  # of rank@τ only the first τ has a row
    return _cell(worst(row["bias"][block][name][chosen]), worst(row["spread"][block][name][chosen]))


def _cells(row: dict[str, Any], part: str, name: str) -> list[str]:
    return [_cell(bias, spread) for bias, spread in zip(row["bias"][part][name], row["spread"][part][name])]


def _cell(bias: float, spread: float) -> str:
    return "not reached" if math.isnan(bias) else f"{100 * bias:+.2f} ± {100 * spread:.2f}"


def _number(value: float) -> str:
    return "not reached" if math.isnan(value) else f"{value:+.2f}"


def _with_commas(number: int) -> str:
    return f"{number:,}"

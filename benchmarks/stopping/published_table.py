"""The table of stops in the project's README and in `docs/stopping.md`, written from the second campaign's runs."""

from __future__ import annotations

from statistics import mean
from typing import Any

from benchmarks.reporting import ROOT, markdown_table, replace_section
from benchmarks.stopping.campaign import candidates
from benchmarks.stopping.certainty import write_certainty
from benchmarks.stopping.report import Scored, Scores
from benchmarks.stopping.statistics import mean_and_interval

#: The section that `campaign.score --part confirmation` replaces in each page.
SECTION = "stops"
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "stopping.md"

SHORT_HEADER = ("stop", "regret, best weights kept", "regret, last weights", "points lost, kept / last")
LONG_HEADER = (
    "stop",
    "regret, best weights kept",
    "points lost",
    "regret, last weights",
    "points lost, last weights",
    "epochs saved",
    "healthy runs stopped early",
)


def named_rows(found: Scores) -> list[tuple[str, Scored]]:
    """The rules that the table shows, each with its name there: the default first, training to the end last."""
    clean = "validation split of 10 %, right labels"
    noisy = "validation split of 10 %, as wrong as the rest"
    return [
        ("`LabelFreeStopping`, no labels", found[candidates.DEFAULT]),
        ('`LabelFreeStopping(target="accuracy")`, no labels', found[candidates.ACCURACY]),
        ("the default of version 0.1, no labels", found[candidates.OLD]),
        (f"{clean}, patience 5", found["clean validation split, patience 5"]),
        (f"{clean}, patience 10", found["clean validation split, patience 10"]),
        (f"{noisy}, patience 5", found["noisy validation split, patience 5"]),
        (f"{noisy}, patience 10", found["noisy validation split, patience 10"]),
        ("training to the end", found["last epoch"]),
    ]


def short_table(found: Scores) -> str:
    """The README's table: the regrets with their intervals, and the points lost."""
    rows = []
    for name, row in named_rows(found):
        if name.endswith("the rest, patience 10") or "0.1" in name:
            continue  # the README has room for the most important rows alone
        points = mean(outcome.points for outcome in row.outcomes)
        last_points = mean(outcome.last_points for outcome in row.outcomes)
        rows.append(
            (
                name,
                mean_and_interval(row.regrets, found.weights, ".2f"),
                mean_and_interval(row.last_regrets, found.weights, ".2f"),
                f"{points:.1f} / {last_points:.1f}",
            )
        )
    return markdown_table(SHORT_HEADER, rows)


def long_table(found: Scores) -> str:
    """The table of `docs/stopping.md`: every measure with its interval."""
    healthy = found.where(lambda task: task["healthy"])
    rows = []
    for name, row in named_rows(found):
        outcomes = row.outcomes
        stopped_early = sum(outcomes[i].premature for i in healthy)
        rows.append(
            (
                name,
                mean_and_interval(row.regrets, found.weights, ".2f"),
                mean_and_interval([outcome.points for outcome in outcomes], found.weights, ".1f"),
                mean_and_interval(row.last_regrets, found.weights, ".2f"),
                mean_and_interval([outcome.last_points for outcome in outcomes], found.weights, ".1f"),
                f"{mean(outcome.saved for outcome in outcomes):.0%}",
                f"{stopped_early} of {len(healthy)}",
            )
        )
    return markdown_table(LONG_HEADER, rows)


def stop_figures(found: Scores) -> dict[str, Any]:
    """What a report quotes of the table: the regret and the points lost of its rows for this and the older default.

    Args:
        found: The scores of the confirmation records.
    """
    figures = {}
    rules = {
        "loss_signal": candidates.DEFAULT,
        "accuracy_signal": candidates.ACCURACY,
        "consistency": candidates.OLD,
    }
    for signal, name in rules.items():
        row = found[name]
        regret = mean_and_interval(row.regrets, found.weights, ".2f")
        points = mean_and_interval([outcome.points for outcome in row.outcomes], found.weights, ".1f")
        figures[signal] = [regret, points]
    return {"n_runs": len(found.records), "by_signal": figures}


def write_tables(found: Scores) -> None:
    """Writes both tables into their pages, and what a report quotes of them into the package.

    Args:
        found: The scores of the confirmation records.
    """
    replace_section(README, SECTION, short_table(found))
    replace_section(PAGE, SECTION, long_table(found))
    write_certainty({"stop": stop_figures(found)})

"""The table of stops in the project's README and in `docs/stopping.md`, written from the runs of the third part."""

from __future__ import annotations

from statistics import mean
from typing import Any

from benchmarks.reporting import ROOT, markdown_table, replace_section
from benchmarks.stopping.campaign import candidates
from benchmarks.stopping.campaign import third_candidates as rows_of
from benchmarks.stopping.certainty import write_certainty
from benchmarks.stopping.report import Scored, Scores
from benchmarks.stopping.statistics import mean_and_interval

#: The section that `campaign.third_score` replaces in each page.
SECTION = "stops"
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "stopping.md"

SHORT_HEADER = ("stop", "handed over", "regret", "points lost")
LONG_HEADER = (
    "stop",
    "handed over",
    "regret",
    "points lost",
    "epochs saved",
    "healthy runs stopped early",
    "plateaus stopped too low",
)
#: The rows: name of the stop, what is handed over, and the candidate.
ROWS = (
    ("`LabelFreeStopping()`", "average", rows_of.PRIMARY),
    ("`LabelFreeStopping()`", "best epoch", rows_of.ACCURACY_KEPT),
    ('`LabelFreeStopping(target="loss")`', "average", rows_of.LOSS),
    ('`LabelFreeStopping(target="loss")`', "best epoch", rows_of.LOSS_KEPT),
    ("the default of version 0.1", "best epoch", candidates.OLD),
    ("clean split of 10 %, patience 5", "best epoch", "clean validation split, patience 5"),
    ("clean split of 10 %, patience 10", "best epoch", "clean validation split, patience 10"),
    ("clean split of 10 %, patience 10", "average", "clean validation split, patience 10, averaged"),
    ("split as wrong as the rest, patience 10", "best epoch", "noisy validation split, patience 10"),
    ("split as wrong as the rest, patience 10", "average", "noisy validation split, patience 10, averaged"),
    ("training to the end", "last epoch", "last epoch"),
)
#: Those of the README, which has room for the most important rows alone.
SHORT = (
    rows_of.PRIMARY,
    rows_of.ACCURACY_KEPT,
    "clean validation split, patience 5",
    "clean validation split, patience 10",
    "clean validation split, patience 10, averaged",
    "noisy validation split, patience 10",
    "last epoch",
)


def _measures(found: Scores, row: Scored) -> tuple[str, str]:
    points = [outcome.points for outcome in row.outcomes]
    return mean_and_interval(row.regrets, found.weights, ".2f"), mean_and_interval(points, found.weights, ".1f")


def short_table(found: Scores) -> str:
    """The README's table: what is handed over, its regret with the interval, and the mean of the points lost."""
    rows = []
    for stop, handed_over, name in ROWS:
        if name in SHORT:
            regret, points = _measures(found, found[name])
            rows.append((stop, handed_over, regret, points.split(" ")[0]))
    return markdown_table(SHORT_HEADER, rows)


def long_table(found: Scores) -> str:
    """The table of `docs/stopping.md`: every measure, with intervals."""
    healthy = found.where(lambda task: task["healthy"])
    plateaus = found.where(lambda task: task["plateau"])
    rows = []
    for stop, handed_over, name in ROWS:
        outcomes = found[name].outcomes
        rows.append(
            (
                stop,
                handed_over,
                *_measures(found, found[name]),
                f"{mean(outcome.saved for outcome in outcomes):.0%}",
                f"{sum(outcomes[i].premature for i in healthy)} of {len(healthy)}",
                f"{sum(outcomes[i].premature for i in plateaus)} of {len(plateaus)}",
            )
        )
    return markdown_table(LONG_HEADER, rows)


def stop_figures(found: Scores) -> dict[str, Any]:
    """What a report quotes: regret and points lost of this and the older default, by what is handed over.

    Args:
        found: The scores of the records of the third part.
    """
    rows = {
        "loss_signal": {"best epoch": rows_of.LOSS_KEPT, "average": rows_of.LOSS},
        "accuracy_signal": {"best epoch": rows_of.ACCURACY_KEPT, "average": rows_of.PRIMARY},
        "consistency": {"best epoch": candidates.OLD},
    }
    figures: dict[str, dict[str, list[str]]] = {}
    for signal, names in rows.items():
        figures[signal] = {}
        for handed_over, name in names.items():
            figures[signal][handed_over] = list(_measures(found, found[name]))
    return {"n_runs": len(found.records), "by_signal": figures}


def write_tables(found: Scores) -> None:
    """Writes both tables into their pages, and what a report quotes of them into the package.

    Args:
        found: The scores of the records of the third part.
    """
    replace_section(README, SECTION, short_table(found))
    replace_section(PAGE, SECTION, long_table(found))
    write_certainty({"stop": stop_figures(found)})

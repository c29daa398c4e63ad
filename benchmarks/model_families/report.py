"""The table of `docs/models.md` and the summary in this topic's README, written from the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.model_families.registry import FAMILIES
from benchmarks.model_families.results import TOPIC, Row, ran
from benchmarks.model_families.trial import BARE, FAILED, ONE_ARGUMENT, SKIPPED
from benchmarks.reporting import ROOT, markdown_table, replace_section

COMMAND = "python -m benchmarks.model_families"
PAGE = ROOT / "docs" / "models.md"
README = ROOT / "benchmarks" / TOPIC / "README.md"
HEADER = ("family", "representative", "callback", "layers", "spectra", "consistency", "training unchanged", "seconds")
#: What the column of the callback shows.
CALLBACK = {BARE: "bare", FAILED: "fails", SKIPPED: "not run"}


def cell(text: str) -> str:
    """A text as the cell of a table in Markdown, where a bar would begin the next cell."""
    return " ".join(text.split()).replace("|", "\\|")


def callback_cell(row: Row) -> str:
    """How the callback was constructed."""
    if row["result"] == ONE_ARGUMENT:
        return f"`{cell(row['argument'])}`"
    return CALLBACK[row["result"]]


def consistency_cell(row: Row) -> str:
    """Which signals of consistency there are, or why there is none."""
    if row["signals"]:
        return ", ".join(f"`{name}`" for name in row["signals"])
    for note in row["notes"]:
        before, found, reason = note.partition("no consistency: ")
        if found and not before:
            return cell(f"none: {reason}")
    return "none"


def unchanged_cell(row: Row) -> str:
    """Whether the training ended bit for bit as without the callback."""
    if row["identical"] is None:
        return cell(row["differences"]) or "not compared"
    return "yes" if row["identical"] else f"**no**: {cell(row['differences'])}"


def table_row(row: Row) -> tuple[str, ...]:
    """The cells of one family."""
    short_name = row["family"].rpartition(".")[2]
    start = (short_name, f"`{cell(row['model'])}`", callback_cell(row))
    if not ran(row):
        return (*start, "–", "–", "–", "–", "–")
    counts = (str(row["layers"]), str(row["spectra"]))
    seconds = f"{row['seconds_without']:.1f} → {row['seconds_with']:.1f}"
    return (*start, *counts, consistency_cell(row), unchanged_cell(row), seconds)


def tables(rows: Sequence[Row]) -> str:
    """One table for each library and task, under a heading, and after it why families failed or were not run."""
    by_group: dict[str, list[Row]] = {}
    for row in rows:
        by_group.setdefault(FAMILIES[row["family"]].group, []).append(row)
    parts = []
    for group, members in by_group.items():
        table = markdown_table(HEADER, [table_row(row) for row in members])
        parts.append(f"### {group}\n\n{table}")
        reasons = [f"- {row['family']}: {failure(row)}" for row in members if not ran(row)]
        if reasons:
            parts.append("\n".join(reasons))
    return "\n\n".join(parts)


def failure(row: Row) -> str:
    """Why a family failed or was not run, in words."""
    text = cell(row["error"])
    if row["error_with_argument"]:
        argument = FAMILIES[row["family"]].argument
        text += f" With `{cell(argument)}`: {cell(row['error_with_argument'])}"
    return text


def summary(results: dict[str, Any]) -> str:
    """The counts, the machine and the date."""
    rows = results["rows"]
    counts = {}
    for result in (BARE, ONE_ARGUMENT, FAILED, SKIPPED):
        counts[result] = sum(row["result"] == result for row in rows)
    n_identical = sum(row["identical"] is True for row in rows)
    n_untried = len(FAMILIES) - len(rows)
    untried = f" {n_untried} have not been tried yet." if n_untried else ""
    dates = sorted(row["date"][:10] for row in rows)
    period = " to ".join(sorted({dates[0], dates[-1]})) if dates else "never run"
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine.get("versions", {}).items())
    return (
        f"`{COMMAND}`, {period}, {machine.get('processor', 'unknown processor')}, one thread; {versions}.\n\n"
        f"Of {len(FAMILIES)} families, {counts[BARE]} run with the bare callback, {counts[ONE_ARGUMENT]} with one "
        f"argument, {counts[FAILED]} fail, and {counts[SKIPPED]} were not run because a package is missing.{untried} "
        f"In {n_identical} the training ended bit for bit as without the callback."
    )


def write_docs(results: dict[str, Any], page: Path = PAGE, readme: Path = README) -> None:
    """Writes the tables into the page of the documentation, and the summary into the README of the topic.

    Args:
        results: From `read_results`.
        page: The page with the section ``models``.
        readme: The README with the section ``model_families``.
    """
    replace_section(page, "models", f"{summary(results)}\n\n{tables(results['rows'])}")
    heading = "## Families of models"
    link = "The tables are in [docs/models.md](../../docs/models.md)."
    replace_section(readme, TOPIC, f"{heading}\n\n{summary(results)} {link}")

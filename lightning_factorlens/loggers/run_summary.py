"""The summary of a run, for the end of its output and for TensorBoard's page "Text"."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_factorlens.loggers.best_of_run import best_of_run, is_judged_by_rule, leading_scalar
from lightning_factorlens.loggers.best_values import is_lower_bound, latest_values
from lightning_factorlens.loggers.tags import PREFIX, TaggedValue
from lightning_factorlens.loggers.text_reports import help_tag, markdown_table
from lightning_factorlens.measurements import Measurement
from lightning_factorlens.results import Observation
from lightning_factorlens.results._text import format_number
from lightning_factorlens.results.findings import Findings, StopAdvice, run_findings
from lightning_factorlens.results.leading_scalar import CONSISTENCY
from lightning_factorlens.stopping.run_advice import run_advice

#: Cell of a table where an observation has no value.
MISSING = "–"


def findings_of(
    history: Sequence[Observation],
    measurements: Sequence[Measurement],
    prefix: str = PREFIX,
    advice: StopAdvice | None = None,
) -> Findings:
    """What a run says in words, judged by its leading scalar.

    Args:
        history: The observations of one run, oldest first.
        measurements: The lens's measurements.
        prefix: First part of the tags.
        advice: The decision of a stopping rule, where there is one.
    """
    scalar = leading_scalar(measurements, prefix)
    if scalar is not None and not is_judged_by_rule(scalar):
        return run_findings(history, scalar, advice)
    return run_findings(history, CONSISTENCY, run_advice(history, advice))


def summary_rows(
    history: Sequence[Observation],
    measurements: Sequence[Measurement],
    prefix: str = PREFIX,
    advice: StopAdvice | None = None,
) -> tuple[dict[str, Observation], dict[str, list[str]]]:
    """The summary scalars of the first, the best and the last observation of a run; without a best, of the two others.

    Where an observation lacks a scalar, its cell is that of the last full observation before it, with its epoch, or
    `MISSING` if that one was made before training, whose values say nothing about a trained network. The
    seconds of single observations are left out: the cost of the run stands below its summary.

    Args:
        history: The observations of one run, oldest first, at least one.
        measurements: The lens's measurements.
        prefix: First part of the tags.
        advice: The decision of a stopping rule, where there is one.

    Returns:
        The observation of each column by its name, ``"first"``, ``"best"`` or ``"last"``, and the cells by tag.
    """
    best = best_of_run(history, measurements, prefix, advice)
    columns = {"first": history[0]}
    if best is not None:
        columns["best"] = best.observation
    columns["last"] = history[-1]
    rows: dict[str, list[str]] = {}
    for index, observation in enumerate(columns.values()):
        for tag, (entry, source) in latest_values(history, observation, measurements, prefix).items():
            if entry.measurement != "cost":
                row = rows.setdefault(tag, [MISSING] * len(columns))
                row[index] = _cell(entry, source, observation)
    return columns, rows


def _cell(entry: TaggedValue, source: Observation, column: Observation) -> str:
    """A number, marked as a lower bound where it is one, and with its epoch where that is not the column's."""
    cell = lower_bound_sign(source, entry) + format_number(entry.value.value)
    if source is not column:
        cell += f" (epoch {source.epoch})"
    return cell


def lower_bound_sign(observation: Observation, entry: TaggedValue) -> str:
    """The sign to write before a number that is only a lower bound.

    Args:
        observation: The observation that the number belongs to.
        entry: The number and its declaration.

    Returns:
        ``"> "`` for a lower bound, else an empty string.
    """
    return "> " if is_lower_bound(observation, entry) else ""


def run_summary(
    history: Sequence[Observation],
    measurements: Sequence[Measurement],
    prefix: str = PREFIX,
    advice: StopAdvice | None = None,
) -> str:
    """The summary of a run: what it says in words, its first, best and last observation side by side, and its notes.

    Args:
        history: The observations of one run, oldest first, at least one.
        measurements: The lens's measurements.
        prefix: First part of the tags.
        advice: The decision of a stopping rule, where there is one.

    Returns:
        The summary, in Markdown.
    """
    parts = ["### Summary of the run"]
    lines = []
    for finding in findings_of(history, measurements, prefix, advice).all:
        lines.append(f"- {finding.question} **{finding.verdict}**: {finding.reason}.")
    parts.append("\n".join(lines))
    columns, rows = summary_rows(history, measurements, prefix, advice)
    # the steps have a row of their own, because TensorBoard breaks tags within words where the titles are long
    titles = [f"{name}, epoch {observation.epoch}" for name, observation in columns.items()]
    cells = [("step", *(str(observation.step) for observation in columns.values()))]
    for tag, row in rows.items():
        cells.append((f"`{tag}`", *row))
    parts.append(markdown_table(("", *titles), cells))
    best = best_of_run(history, measurements, prefix, advice)
    explained = "" if best is None else f"Best: {best.criterion}. "
    parts.append(
        f"{explained}A number after > is a lower bound, because the largest rank tried does not suffice. How to read "
        f"tags and figures: text `{help_tag(prefix)}`, once in every log folder."
    )
    if history[-1].notes:
        parts.append("\n".join(f"- {note}" for note in history[-1].notes))
    return "\n\n".join(parts)

"""Section: two or more runs or checkpoints beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_factorlens.loggers.best_values import latest_values
from lightning_factorlens.loggers.run_summary import lower_bound_sign
from lightning_factorlens.loggers.tags import PREFIX
from lightning_factorlens.measurements import default_measurements
from lightning_factorlens.plots.comparison import (
    alpha_comparison_figure,
    course_comparison_figure,
    rank_comparison_figure,
)
from lightning_factorlens.report.parts import Part, Table, Text
from lightning_factorlens.report.pictures import figure_picture
from lightning_factorlens.report.section import Section
from lightning_factorlens.report.sections.verdict import advice_of, findings_of_subject
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import RankCurves
from lightning_factorlens.results._text import format_number
from lightning_factorlens.results.record import network_scopes

MISSING = "–"
#: What the charts show, for a reader who does not see them, by the functions that draw them.
ALT = {
    course_comparison_figure: "Chart of the consistency, or of the effective rank, over epochs, one line each.",
    rank_comparison_figure: "Chart of the relative error against the rank at the end, one line each.",
    alpha_comparison_figure: "Chart of α by layer at the end, one mark each.",
}


def _build(subjects: Sequence[Subject]) -> list[Part]:
    if len(subjects) < 2:
        return []
    parts: list[Part] = [*_cautions(subjects), _verdicts(subjects), _values(subjects)]
    histories = {subject.name: subject.history for subject in subjects}
    for draw, alt in ALT.items():
        figure = draw(histories)
        if figure is not None:
            parts.append(figure_picture(figure, alt))
    return parts


def _cautions(subjects: Sequence[Subject]) -> list[Part]:
    """Whether numbers of other layers or ranks stand beside each other."""
    measured = {_measured(subject) for subject in subjects} - {None}
    if len(measured) < 2:
        return []
    text = (
        "These were measured on different layers, inputs or ranks, so that their ranks, errors and effective ranks do "
        "not belong on one scale."
    )
    return [Text(text, "Caution.")]


def _measured(subject: Subject) -> tuple[frozenset[str], tuple[int, ...]] | None:
    """The blocks of the last factorisation and its ranks; None where they are not known, as in condensed records."""
    record = subject.latest_record("reconstruction_error")
    if not isinstance(record, RankCurves):
        return None
    blocks = frozenset(record.curves) - frozenset(network_scopes(record.curves))
    return (blocks, tuple(record["total"].ranks)) if blocks else None


def _verdicts(subjects: Sequence[Subject]) -> Table:
    rows: dict[str, list[str]] = {"observations": []}
    for subject in subjects:
        rows["observations"].append(_span(subject))
        advice = advice_of(subject)
        best = MISSING if advice is None else f"{advice.best_epoch}, by {advice.criterion}"
        rows.setdefault("best epoch", []).append(best)
        for finding in findings_of_subject(subject).all:
            verdict = finding.verdict if subject.is_run else MISSING
            rows.setdefault(finding.question, []).append(verdict)
    return _table("What each says", subjects, rows)


def _span(subject: Subject) -> str:
    first, last = subject.history[0].epoch, subject.history[-1].epoch
    n = len(subject.history)
    return f"{n}, epochs {first} to {last}" if n > 1 else f"1, epoch {last}"


def _values(subjects: Sequence[Subject]) -> Table:
    """The summary scalars at the end of each."""
    rows: dict[str, list[str]] = {}
    for place, subject in enumerate(subjects):
        last = subject.history[-1]
        for tag, (entry, source) in latest_values(subject.history, last, default_measurements()).items():
            if entry.measurement != "cost":
                row = rows.setdefault(tag.removeprefix(PREFIX).lstrip("_/"), [MISSING] * len(subjects))
                row[place] = lower_bound_sign(source, entry) + format_number(entry.value.value)
    return _table("Values at the end; a number after > is a lower bound", subjects, rows)


def _table(caption: str, subjects: Sequence[Subject], rows: dict[str, list[str]]) -> Table:
    header = ("question or number", *(subject.name for subject in subjects))
    return Table(caption, header, [(title, *cells) for title, cells in rows.items()])


COMPARISON = Section(
    "Comparison",
    "comparison",
    "Compare runs of one network on the same probe: consistency, ranks and errors depend on the probe and "
    "on the layers that are captured, so that numbers of different networks or probes do not belong on one scale.",
    "A comparison needs two runs or checkpoints.",
    _build,
)

"""Section: the course of a run, or the values of a single observation."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_factorlens.loggers.best_values import latest_values
from lightning_factorlens.loggers.run_summary import summary_rows
from lightning_factorlens.measurements import default_measurements
from lightning_factorlens.plots import dashboard_figure, history_figure
from lightning_factorlens.report.decisions import advice_of
from lightning_factorlens.report.glossary import glossary
from lightning_factorlens.report.parts import Part, Table
from lightning_factorlens.report.pictures import figure_picture
from lightning_factorlens.report.row_titles import row_title
from lightning_factorlens.report.section import Section, for_each
from lightning_factorlens.report.subject import Subject


def _build(subjects: Sequence[Subject]) -> list[Part]:
    parts = for_each(subjects, _parts)
    if parts:
        parts.append(glossary(_quantities(subjects)))
    return parts


def _quantities(subjects: Sequence[Subject]) -> set[str]:
    """The quantities of the tables."""
    found = set()
    for subject in subjects:
        last = subject.history[-1]
        for entry, _ in latest_values(subject.history, last, default_measurements()).values():
            found.add(entry.value.quantity)
    return found


def _parts(subject: Subject) -> list[Part]:
    parts: list[Part] = []
    if subject.is_run:
        parts += _figures(subject)
    table = _table(subject)
    if table.rows:
        parts.append(table)
    return parts


def _figures(subject: Subject) -> list[Part]:
    history = subject.history
    span = f"epochs {history[0].epoch} to {history[-1].epoch}"
    parts: list[Part] = []
    advice = advice_of(subject)
    dashboard = dashboard_figure(history, advice)
    if dashboard is not None:
        alt = f"Chart of the consistency over {span} with the answers of the section Verdict above it."
        caption = (
            "Diamond: the lowest value, which is sought after the first epochs where there are more. Area: a rise "
            "above it by more than a tenth."
        )
        if advice is not None:
            caption += f" Dotted line: the best epoch by {advice.criterion}."
        if advice is not None and advice.stop_epoch is not None:
            caption += " Dashed line: the decision to stop."
        parts.append(figure_picture(dashboard, alt, caption))
    course = history_figure(history, advice_of(subject))
    if course is not None:
        alt = f"Charts of the consistency, the required ranks and the effective rank over {span}."
        caption = (
            "The consistency on a scale from 0, and where they were measured the effective rank and the numbers of "
            "components with which an error of so many percent remains (rank@30%)."
        )
        parts.append(figure_picture(course, alt, caption))
    return parts


def _table(subject: Subject) -> Table:
    columns, rows = summary_rows(subject.history, default_measurements(), advice=advice_of(subject))
    if not subject.is_run:
        columns.pop("best", None)
        columns.pop("first", None)
        rows = {tag: row[-1:] for tag, row in rows.items()}
    header = [
        "number",
        *(f"{name}, epoch {observation.epoch}" for name, observation in columns.items()),
    ]
    titles: dict[str, str] = {}
    for observation in (subject.history[0], subject.history[-1]):
        for tag, (entry, _) in latest_values(subject.history, observation, default_measurements()).items():
            titles[tag] = row_title(entry)
    cells = [(titles.get(tag, tag), *row) for tag, row in rows.items()]
    caption = "First and last observation" if subject.is_run else "Values"
    advice = advice_of(subject)
    if "best" in columns and advice is not None:
        caption += f", and that of the best epoch by {advice.criterion}"
    return Table(f"{caption}; a number after > is a lower bound", header, cells)


COURSE = Section(
    "Course",
    "course",
    "The consistency falls while the network learns. A lasting rise precedes a rising test loss, with right labels as "
    "with wrong ones. Ranks say how finely the network tells inputs apart; they rise with training, also while it "
    "memorises, and are no stop signal.",
    "The record has none of the numbers that tables of runs show.",
    _build,
)

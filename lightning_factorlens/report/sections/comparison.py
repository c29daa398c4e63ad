"""Section: two or more runs or checkpoints beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_factorlens.loggers.best_values import latest_values
from lightning_factorlens.loggers.run_summary import lower_bound_sign
from lightning_factorlens.measurements import default_measurements
from lightning_factorlens.plots.comparison import (
    alpha_comparison_figure,
    course_comparison_figure,
    rank_comparison_figure,
)
from lightning_factorlens.report.decisions import advice_of, weights_in_words
from lightning_factorlens.report.parts import Part, Table, Text
from lightning_factorlens.report.pictures import figure_picture
from lightning_factorlens.report.row_titles import row_title
from lightning_factorlens.report.section import Section
from lightning_factorlens.report.sections.verdict import findings_of_subject
from lightning_factorlens.report.setups import Difference, differences, reason_against, setup_of, unknown_setups
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import RankCurves
from lightning_factorlens.results._text import format_number
from lightning_factorlens.results.record import network_scopes

MISSING = "–"
#: The functions that draw the charts, what the charts show, for a reader who does not see them, and the measurement
#: whose numbers they show.
CHARTS = (
    (
        course_comparison_figure,
        "Chart of the consistency, or of the effective rank, over epochs, one line each.",
        "consistency",
    ),
    (
        rank_comparison_figure,
        "Chart of the relative error against the rank at the end, one line each.",
        "reconstruction_error",
    ),
    (alpha_comparison_figure, "Chart of α by layer at the end, one mark each.", "weight_spectra"),
)


def _build(subjects: Sequence[Subject]) -> list[Part]:
    if len(subjects) < 2:
        return []
    found = differences(subjects)
    return [*_cautions(subjects, found), _verdicts(subjects), _values(subjects, found), *_charts(subjects, found)]


def _cautions(subjects: Sequence[Subject], found: Sequence[Difference]) -> list[Part]:
    """What differs between the ways in which the subjects were measured, and what is not known of it."""
    cautions: list[Part] = [Text(difference.sentence, f"Different {difference.name}.") for difference in found]
    unknown = unknown_setups(subjects)
    if unknown:
        text = (
            f"Records of versions before 0.2.0 do not say on which samples and with which options they were made; "
            f"{' and '.join(unknown)} may have been measured differently."
        )
        cautions += [Text(text, "Not known."), *_older_cautions(subjects)]
    if not cautions:
        return [Text(_common(subjects), "Comparable.")]
    return cautions


def _common(subjects: Sequence[Subject]) -> str:
    setup = setup_of(subjects[0])
    assert setup is not None
    samples = f"on the same {setup.samples_text}" if setup.probe else "on the weights alone"
    layers = f", {setup.n_layers} layers" if setup.n_layers else ""
    return f"All were measured {samples}{layers}, with the same options."


def _older_cautions(subjects: Sequence[Subject]) -> list[Part]:
    """Whether numbers of other layers or ranks stand beside each other, by the records alone."""
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
        has_decided = any(observation.decisions for observation in subject.history)
        rows.setdefault("weights at the end", []).append(weights_in_words(subject) if has_decided else MISSING)
        for finding in findings_of_subject(subject).all:
            verdict = finding.verdict if subject.is_run else MISSING
            rows.setdefault(finding.question, []).append(verdict)
    return _table("What each says", subjects, rows)


def _span(subject: Subject) -> str:
    first, last = subject.history[0].epoch, subject.history[-1].epoch
    n = len(subject.history)
    return f"{n}, epochs {first} to {last}" if n > 1 else f"1, epoch {last}"


def _values(subjects: Sequence[Subject], found: Sequence[Difference]) -> Table:
    """The summary scalars at the end of each, and whether they may be compared."""
    measurement_of = {measurement.name: measurement for measurement in default_measurements()}
    rows: dict[str, list[str]] = {}
    reasons: dict[str, str] = {}
    for place, subject in enumerate(subjects):
        last = subject.history[-1]
        for entry, source in latest_values(subject.history, last, default_measurements()).values():
            if entry.measurement != "cost":
                title = row_title(entry)
                row = rows.setdefault(title, [MISSING] * len(subjects))
                row[place] = lower_bound_sign(source, entry) + format_number(entry.value.value)
                reasons[title] = reason_against(measurement_of[entry.measurement], found)
    caption = "Values at the end; a number after > is a lower bound"
    if not any(reasons.values()):
        return _table(caption, subjects, rows)
    for title, row in rows.items():
        row.append(f"no: different {reasons[title]}" if reasons[title] else "yes")
    return _table(caption, subjects, rows, ("may be compared",))


def _charts(subjects: Sequence[Subject], found: Sequence[Difference]) -> list[Part]:
    measurement_of = {measurement.name: measurement for measurement in default_measurements()}
    histories = {subject.name: subject.history for subject in subjects}
    parts: list[Part] = []
    for draw, alt, measurement in CHARTS:
        figure = draw(histories)
        if figure is not None:
            reason = reason_against(measurement_of[measurement], found)
            caption = f"May not be compared: different {reason}." if reason else ""
            parts.append(figure_picture(figure, alt, caption))
    return parts


def _table(
    caption: str, subjects: Sequence[Subject], rows: dict[str, list[str]], more_titles: Sequence[str] = ()
) -> Table:
    header = ("question or number", *(subject.name for subject in subjects), *more_titles)
    return Table(caption, header, [(title, *cells) for title, cells in rows.items()])


COMPARISON = Section(
    "Comparison",
    "comparison",
    "Compare runs of one network on the same probe: consistency, ranks and errors depend on the probe and "
    "on the layers that are captured, so that numbers of different networks or probes do not belong on one scale.",
    "A comparison needs two runs or checkpoints.",
    _build,
)

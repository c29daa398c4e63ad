"""Section: what the record says in words, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_factorlens.report.certainty import certainty, recorded_runs
from lightning_factorlens.report.decisions import advice_of, stopping_texts
from lightning_factorlens.report.facts import cautions, facts
from lightning_factorlens.report.parts import Group, Part, Text
from lightning_factorlens.report.section import Section, for_each
from lightning_factorlens.report.setups import course_changes
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import Observation
from lightning_factorlens.results.findings import Findings, run_findings
from lightning_factorlens.results.leading_scalar import is_untrained


def findings_of_subject(subject: Subject) -> Findings:
    """What a subject says in words.

    Args:
        subject: A run or a checkpoint.
    """
    return run_findings(subject.history, advice=advice_of(subject))


def _build(subjects: Sequence[Subject]) -> list[Part]:
    parts = for_each(subjects, _parts)
    if any(subject.is_run for subject in subjects):
        parts.append(Text(recorded_runs(), "How sure the answers are."))
    return parts


def _parts(subject: Subject) -> list[Part]:
    parts: list[Part] = [*cautions(subject)]
    if subject.is_run:
        advice = advice_of(subject)
        for finding in findings_of_subject(subject).all:
            sentence = f"{finding.reason[:1].upper()}{finding.reason[1:]}. {certainty(finding, advice)}"
            parts.append(Text(sentence, f"{finding.question} {finding.verdict}."))
        parts += stopping_texts(subject)
    else:
        parts.append(
            Text(
                f"{_where(subject.history[0])} Whether the network still learns, memorises or should have stopped can "
                "only be read from a run.",
                "One observation.",
            )
        )
    for fact in facts(subject):
        parts.append(fact)
    changes = course_changes(subject)
    if changes:
        parts.append(Text(changes, "Caution."))
    for note in subject.notes:
        parts.append(Text(note, "Note."))
    remarks = [Text(note) for note in dict.fromkeys(subject.history[-1].notes)]
    if remarks:
        parts.append(Group("Remarks of the last observation", remarks, is_folded=True))
    return parts


def _where(observation: Observation) -> str:
    """When a single observation was made; epoch 0 is also that of weights whose file names no epoch."""
    if is_untrained(observation):
        return (
            "It shows the network before training, or weights of which it is not known after how many epochs they were "
            "saved; this page calls that epoch 0."
        )
    return f"It shows the network as it is after epoch {observation.epoch}."


VERDICT = Section(
    "Verdict",
    "verdict",
    "No label was used. Whether the network learns or memorises is read from the consistency of its predictions under "
    "small shifts of the probe, a fixed set of samples; when to stop, from what the run's LabelFreeStopping has "
    "decided, or else from what its default rule would have. Beside each answer stands how often such an answer was "
    "right in recorded runs.",
    "There is no observation.",
    _build,
)

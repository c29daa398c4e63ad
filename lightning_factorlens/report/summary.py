"""What a report says, for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lightning_factorlens.loggers.best_values import latest_values
from lightning_factorlens.measurements import default_measurements
from lightning_factorlens.report.certainty import certainty
from lightning_factorlens.report.decisions import advice_of, stopping_texts
from lightning_factorlens.report.sections.verdict import findings_of_subject
from lightning_factorlens.report.setups import setup_of
from lightning_factorlens.report.subject import Subject


def report_summary(subjects: Sequence[Subject]) -> list[dict[str, Any]]:
    """The findings and the summary scalars of every subject, in types that JSON has.

    Args:
        subjects: The subjects of a report.
    """
    found = []
    for subject in subjects:
        last = subject.history[-1]
        setup = setup_of(subject)
        values = {}
        for tag, (entry, _) in latest_values(subject.history, last, default_measurements()).items():
            values[tag] = entry.value.value
        found.append(
            {
                "name": subject.name,
                "source": subject.source,
                "observations": len(subject.history),
                "last_epoch": last.epoch,
                "findings": _findings(subject) if subject.is_run else [],
                "stopping": [text.text for text in stopping_texts(subject)],
                "values": values,
                "setup": None if setup is None else asdict(setup),
            }
        )
    return found


def _findings(subject: Subject) -> list[dict[str, str]]:
    found = []
    for finding in findings_of_subject(subject).all:
        answer = {"question": finding.question, "verdict": finding.verdict, "reason": finding.reason}
        found.append({**answer, "certainty": certainty(finding, advice_of(subject))})
    return found

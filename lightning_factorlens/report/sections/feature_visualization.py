"""Section: feature visualisation."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_factorlens.report.parts import Part
from lightning_factorlens.report.section import Section, for_each
from lightning_factorlens.report.subject import Subject


def _build(subjects: Sequence[Subject]) -> list[Part]:
    return for_each(subjects, _parts)


def _parts(subject: Subject) -> list[Part]:
    return []


FEATURE_VISUALIZATION = Section(
    "Feature visualisation",
    "feature-visualisation",
    "",
    "Add the measurement UnitPictures() to the lens, or report a checkpoint with --model and --data.",
    _build,
)

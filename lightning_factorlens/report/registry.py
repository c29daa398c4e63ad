"""The sections of a report, in their order."""

from __future__ import annotations

from lightning_factorlens.report.section import Section
from lightning_factorlens.report.sections.concepts import CONCEPTS
from lightning_factorlens.report.sections.feature_visualization import FEATURE_VISUALIZATION
from lightning_factorlens.report.sections.hierarchy import HIERARCHY
from lightning_factorlens.report.sections.rank_curves import RANK_CURVES

#: A further section is declared in a file of its own and added here.
SECTIONS: tuple[Section, ...] = (
    RANK_CURVES,
    CONCEPTS,
    HIERARCHY,
    FEATURE_VISUALIZATION,
)

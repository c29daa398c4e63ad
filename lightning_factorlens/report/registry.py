"""The sections of a report, in their order."""

from __future__ import annotations

from lightning_factorlens.report.section import Section
from lightning_factorlens.report.sections.alpha import ALPHA
from lightning_factorlens.report.sections.comparison import COMPARISON
from lightning_factorlens.report.sections.concepts import CONCEPTS
from lightning_factorlens.report.sections.cost import COST
from lightning_factorlens.report.sections.course import COURSE
from lightning_factorlens.report.sections.feature_visualization import FEATURE_VISUALIZATION
from lightning_factorlens.report.sections.hierarchy import HIERARCHY
from lightning_factorlens.report.sections.node_health import NODE_HEALTH
from lightning_factorlens.report.sections.rank_curves import RANK_CURVES
from lightning_factorlens.report.sections.verdict import VERDICT

#: A further section is declared in a file of its own and added here.
SECTIONS: tuple[Section, ...] = (
    COMPARISON,
    VERDICT,
    COURSE,
    RANK_CURVES,
    ALPHA,
    CONCEPTS,
    HIERARCHY,
    FEATURE_VISUALIZATION,
    NODE_HEALTH,
    COST,
)

"""What the numbers of a report are, from the declarations of the measurements."""

from __future__ import annotations

from collections.abc import Collection

from lightning_factorlens.loggers.tags import with_cost
from lightning_factorlens.measurements import ConceptQuality, NodeHealth, SemanticHierarchy, default_measurements
from lightning_factorlens.report.parts import Group, Part, Text


def glossary(quantities: Collection[str]) -> Group:
    """One paragraph for each declared quantity, folded.

    Args:
        quantities: The quantities that the report has.
    """
    entries: dict[str, Part] = {}
    for measurement in with_cost([*default_measurements(), ConceptQuality(), SemanticHierarchy(), NodeHealth()]):
        for scalar in measurement.scalars:
            if scalar.quantity in quantities and scalar.quantity not in entries:
                text = f"{scalar.help} {scalar.reading}".strip()
                if scalar.unit:
                    text += f" Unit: {scalar.unit}."
                entries[scalar.quantity] = Text(text.replace("{prefix}", "factorlens"), f"{scalar.quantity}:")
    return Group("What these numbers are", list(entries.values()), is_folded=True)

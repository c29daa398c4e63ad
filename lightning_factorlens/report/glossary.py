"""What the numbers of a report are, from the declarations of the measurements."""

from __future__ import annotations

from collections.abc import Collection

from lightning_factorlens.loggers.tags import PREFIX
from lightning_factorlens.measurements import default_measurements
from lightning_factorlens.report.parts import Group, Part, Text


def glossary(quantities: Collection[str]) -> Group:
    """One paragraph for each declared quantity, folded.

    Args:
        quantities: The quantities to explain; those that no default measurement declares are left out.
    """
    entries: dict[str, Part] = {}
    for measurement in default_measurements():
        for scalar in measurement.scalars:
            if scalar.quantity in quantities and scalar.quantity not in entries:
                text = f"{scalar.help} {scalar.reading}".strip().replace("{prefix}", PREFIX)
                unit = f" Unit: {scalar.unit}." if scalar.unit else ""
                entries[scalar.quantity] = Text(f"{text}{unit}", f"{scalar.quantity}:")
    return Group("What these numbers are", list(entries.values()), is_folded=True)

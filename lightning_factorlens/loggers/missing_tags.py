"""Why an observation lacks scalars that its measurements declare."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_factorlens.loggers.declared_tags import declared_tags
from lightning_factorlens.measurements import Measurement
from lightning_factorlens.measurements.missing_outputs import is_absence_note
from lightning_factorlens.results import Observation


def missing_reasons(
    observation: Observation | None, measurements: Sequence[Measurement], ranks: Sequence[int], prefix: str
) -> dict[str, str]:
    """Why monitored scalars are missing in an observation: the note of their measurement, by tag.

    Args:
        observation: The observation; None where there is none yet.
        measurements: Those of the lens.
        ranks: Ranks of the factorisation.
        prefix: First part of every tag.
    """
    reasons: dict[str, str] = {}
    for measurement in measurements:
        for note in () if observation is None else observation.notes:
            if is_absence_note(note, measurement.name):
                reasons |= dict.fromkeys(declared_tags([measurement], ranks, prefix), note)
    return reasons

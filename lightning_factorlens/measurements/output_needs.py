"""Measurements that depend on what the model's output is read as, and observations without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lightning_factorlens.capture.outputs import NAMES, OutputDecision, describe_part
from lightning_factorlens.measurements.base import Measurement
from lightning_factorlens.measurements.missing_outputs import absence_note
from lightning_factorlens.results import Observation

#: Needs of measurements whose numbers depend on what the output is read as.
OUTPUT_NEEDS = frozenset({"class_scores", "outputs"})


def no_class_scores(measurement: Measurement, decision: OutputDecision) -> str:
    """The note of an observation that lacks a measurement because the output is not read as class scores."""
    reason = decision.reason
    if decision.kind == "classes":
        reason = f"the output has no {describe_part(decision.path or '', decision.shape)} for every batch"
    elif decision.kind in NAMES:
        reason = f"the output is read as {NAMES[decision.kind]} ({reason})"
    return absence_note(measurement.name, f"{reason}. {decision.alternatives}")


def without_outputs(
    observation: Observation, states: Mapping[str, Any], measurements: Sequence[Measurement], decision: OutputDecision
) -> tuple[Observation, dict[str, Any]]:
    """An observation without what was measured of an output before it was known what it is.

    Args:
        observation: The observation.
        states: The states that its measurements keep for the next one.
        measurements: The measurements that made both.
        decision: How the output is read instead.

    Returns:
        Both without the records and states of the measurements with `OUTPUT_NEEDS`, with a note for each that needs
        class scores.
    """
    records = dict(observation.records)
    kept = dict(states)
    notes = list(observation.notes)
    for measurement in measurements:
        if measurement.needs & OUTPUT_NEEDS:
            kept.pop(measurement.name, None)
            found = records.pop(measurement.name, None)
            if found is not None and "class_scores" in measurement.needs and decision.kind != "classes":
                notes.append(no_class_scores(measurement, decision))
    observation = replace(observation, records=records, notes=tuple(notes))
    return observation, kept

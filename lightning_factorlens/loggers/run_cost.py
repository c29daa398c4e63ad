"""Where the time of a run's observations went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightning_factorlens.measurements import Measurement

#: Activities of the phases that are no measurements.
ACTIVITIES = {
    "capture": "forward passes",
    "factorization": "factorisation",
    "figures": "figures",
    "preparation": "preparation",
    "writing": "writing",
}
#: The activity of a measurement by the first of these needs that it has; by its own name where it has none of them.
ACTIVITIES_BY_NEED = {
    "factorization": "factorisation",
    "forward": "forward passes",
    "outputs": "forward passes",
    "gradients": "forward passes",
    "class_scores": "forward passes",
    "weights": "spectra",
}
#: Activities of a smaller part of the time, or of fewer seconds, are added up as "other".
SMALLEST_PART = 0.05
SMALLEST_SECONDS = 0.05


def seconds_by_activity(
    phases: Mapping[str, float], total_seconds: float, measurements: Sequence[Measurement]
) -> dict[str, float]:
    """The seconds of a run by what they were spent on, most first.

    Args:
        phases: Seconds by phase, see `OverheadBudget.phases`.
        total_seconds: Seconds of all that the lens has done; what belongs to no phase counts as "other".
        measurements: The lens's measurements, whose names are phases.

    Returns:
        Seconds by activity, small ones together as "other", which comes last.

    Example:
        >>> from lightning_factorlens.measurements import Consistency
        >>> seconds_by_activity({"capture": 1.0, "consistency": 1.0, "writing": 0.1}, 4.0, [Consistency()])
        {'forward passes': 2.0, 'other': 2.0}
    """
    activities = dict(ACTIVITIES)
    for measurement in measurements:
        activities[measurement.name] = _activity(measurement)
    sums: dict[str, float] = {}
    for phase, seconds in phases.items():
        activity = activities.get(phase, "other")
        sums[activity] = sums.get(activity, 0.0) + seconds
    largest_first = sorted(sums.items(), key=lambda entry: -entry[1])
    found = {}
    for activity, seconds in largest_first:
        is_large = seconds >= max(SMALLEST_SECONDS, SMALLEST_PART * total_seconds)
        if activity != "other" and is_large:
            found[activity] = seconds
    other = total_seconds - sum(found.values())
    if found and other >= SMALLEST_SECONDS:
        found["other"] = other
    return found


def _activity(measurement: Measurement) -> str:
    for need, activity in ACTIVITIES_BY_NEED.items():
        if need in measurement.needs:
            return activity
    return measurement.name

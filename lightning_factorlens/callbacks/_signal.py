"""Which measurements are made at every due time, whatever the clock says: the signal."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from lightning.pytorch import Trainer

from lightning_factorlens.measurements import Measurement, Scalar
from lightning_factorlens.stopping import Rule


def monitored_by_others(trainer: Trainer) -> set[str]:
    """The tags that callbacks, stopping rules and learning-rate schedulers of a Trainer monitor.

    Args:
        trainer: The Trainer, whose strategy has been set up.
    """
    found: list[Any] = []
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        found.append(getattr(callback, "monitor", None))
        rule = getattr(callback, "rule", None)
        if isinstance(rule, Rule):
            found += rule.metrics
    for config in trainer.lr_scheduler_configs:
        found.append(config.monitor)
    return {tag for tag in found if isinstance(tag, str)}


def in_file_names(trainer: Trainer, prefix: str) -> set[str]:
    """The tags of a lens that are part of the file names of checkpoints, as ``"{epoch}-{factorlens/consistency:.2f}"``.

    Args:
        trainer: The Trainer.
        prefix: First part of the lens's tags.
    """
    found: set[str] = set()
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        name = getattr(callback, "filename", None)
        if isinstance(name, str):
            found.update(re.findall(r"\{(" + re.escape(prefix) + r"[^:{}]*)", name))
    return found


def signal_of(
    measurements: Sequence[Measurement],
    prefix: str,
    monitored: Collection[str],
    measured_before: Collection[str],
    coming_needs: frozenset[str] = frozenset(),
) -> tuple[Measurement, ...]:
    """The measurements of a signal-only observation.

    Those that something monitors, and those that declare `Measurement.is_signal`, as `Consistency` does, where an
    observation of the run has had them or the next one may.

    Args:
        measurements: The lens's measurements.
        prefix: First part of the tags.
        monitored: From `monitored_by_others`.
        measured_before: Names of measurements of which an observation of the run has a record.
        coming_needs: Needs of measurements that the next observation may have for the first time.

    Example:
        >>> from lightning_factorlens.measurements import EffectiveRank, WeightSpectra
        >>> [chosen] = signal_of([EffectiveRank(), WeightSpectra()], "factorlens", ["factorlens/effective_rank"], [])
        >>> chosen.name
        'effective_rank'
    """
    chosen = []
    for measurement in measurements:
        is_monitored = reads_measurement(measurement, prefix, monitored)
        is_measurable = measurement.name in measured_before
        is_expected = bool(measurement.needs & coming_needs)
        if is_monitored or (measurement.is_signal and (is_measurable or is_expected)):
            chosen.append(measurement)
    return tuple(chosen)


def reads_measurement(measurement: Measurement, prefix: str, tags: Collection[str]) -> bool:
    """Whether some tags are among those of a measurement's monitored scalars.

    Args:
        measurement: The measurement.
        prefix: First part of the lens's tags.
        tags: The tags.
    """
    return any(_writes(scalar, prefix, tag) for scalar in measurement.scalars for tag in tags)


def _writes(scalar: Scalar, prefix: str, tag: str) -> bool:
    """Whether a tag is one of those that a declaration stands for."""
    if not scalar.monitored:
        return False
    pattern = re.escape(scalar.tag.replace("{prefix}", prefix))
    pattern = pattern.replace(r"\{scope\}", ".+").replace(r"\{rank\}", r"\d+")
    return re.fullmatch(pattern, tag) is not None

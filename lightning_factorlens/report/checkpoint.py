"""A checkpoint that was observed for the report, with the course of its run where the checkpoint holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lightning_factorlens.measurements import default_measurements
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import Observation, Setup

#: Records of the checkpoint that stand beside those of the run, because a history keeps a part of them alone and they
#: do not depend on the samples.
REPLACED = ("weight_spectra",)


def position_of(saved: Mapping[str, Any]) -> tuple[int, int]:
    """The number of finished epochs and the step of a checkpoint; both 0 where it does not say.

    Args:
        saved: The contents of the checkpoint.
    """
    epoch, step = saved.get("epoch"), saved.get("global_step")
    if not isinstance(epoch, int) or not isinstance(step, int):
        return 0, 0
    return epoch + 1, max(0, step - 1)


def checkpoint_subject(run: Subject | None, observation: Observation, name: str, source: str) -> Subject:
    """A checkpoint as the subject of a report.

    The course is that of the run: its own numbers are not mixed with those of the checkpoint, which may have been
    observed on other samples. What the run has not recorded, or of the same samples not at its end, and what its
    history keeps only a part of, is taken from the observation of the checkpoint.

    Args:
        run: The history that the checkpoint holds; None without one.
        observation: The observation of the checkpoint, with its tensors.
        name: How the report calls it.
        source: Where it lies.
    """
    if run is None:
        return Subject(name, source, (observation,))
    from_run = {measurement.name for measurement in default_measurements()} - set(REPLACED)
    last = run.history[-1]
    recorded = [last] if _is_same_probe(last.setup, observation.setup) else run.history
    records = {}
    for key, record in observation.records.items():
        is_recorded = any(key in past for past in recorded)
        if not is_recorded or key not in (from_run | {"cost"}):
            records[key] = record
    merged = replace(
        last,
        records={**last.records, **records},
        inputs=observation.inputs,
        factorization=observation.factorization,
        notes=observation.notes,
        is_full=observation.is_full,
    )
    note = (
        f"The course is that of the run, as its checkpoint holds it; {', '.join(sorted(records))}: of the checkpoint's "
        f"weights on {_given_samples(last.setup, observation.setup)}."
    )
    return replace(run, history=(*run.history[:-1], merged), notes=(*run.notes, note))


def _given_samples(of_run: Setup | None, of_checkpoint: Setup | None) -> str:
    """Whether the samples that were given for the checkpoint are those of its run, in words."""
    if of_run is None or of_checkpoint is None or not of_run.probe:
        return "the given samples"
    if _is_same_probe(of_run, of_checkpoint):
        return "the samples that the run was observed on too"
    return f"the given samples, which are not those of the run ({of_run.samples_text})"


def _is_same_probe(of_run: Setup | None, of_checkpoint: Setup | None) -> bool:
    """Whether it is known that the checkpoint was observed on the samples of its run."""
    if of_run is None or of_checkpoint is None:
        return False
    return bool(of_run.probe) and of_run.probe == of_checkpoint.probe

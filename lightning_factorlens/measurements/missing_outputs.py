"""Why a measurement of the model's outputs has no value in an observation."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lightning_factorlens.metrics.probabilities import count_missing


def absence_note(measurement: str, reason: str) -> str:
    """The note of an observation that lacks a measurement.

    Args:
        measurement: Name of the measurement.
        reason: Why it is missing.

    Example:
        >>> absence_note("prediction_change", "there are no outputs.")
        'no prediction change: there are no outputs.'
    """
    return f"no {measurement.replace('_', ' ')}: {reason}"


def is_absence_note(note: str, measurement: str) -> bool:
    """Whether a note is the `absence_note` of a measurement."""
    return note.startswith(absence_note(measurement, ""))


def no_value(measurement: str, outputs: Mapping[str, Tensor]) -> str:
    """The note of an observation in which a measurement is NaN or infinite because of what the model has returned.

    Args:
        measurement: Name of the measurement.
        outputs: The outputs that it has read, shape (N, K), by what they are called in the note.

    Example:
        >>> import torch
        >>> no_value("consistency", {"outputs": torch.tensor([[0.0, torch.nan], [0.0, 1.0]])})
        'no consistency: 1 of 2 outputs are NaN or infinite.'
    """
    found = []
    for name, tensor in outputs.items():
        n_missing = count_missing(tensor)
        if n_missing:
            found.append(f"{n_missing} of {len(tensor)} {name} are NaN or infinite")
    reason = " and ".join(found) or "a predicted class has the probability 0 for another copy of the same sample"
    return absence_note(measurement, f"{reason}.")

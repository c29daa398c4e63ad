"""Data of an observation that several figures draw."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_factorlens.results import LayerExponent, LayerSpectrum, Observation, RankCurve


def check_history(history: Sequence[Observation]) -> None:
    """Checks that a history is a sequence of observations and has some.

    Args:
        history: The observations of a run.

    Raises:
        ValueError: ``history`` is empty.
        TypeError: It is a single observation.
    """
    if isinstance(history, Observation):
        raise TypeError("history: must be a list of observations, found one observation; pass [observation].")
    if not history:
        raise ValueError("history: must hold at least one observation, found none; draw after the first observation.")


def epochs_of(history: Sequence[Observation]) -> list[int]:
    """The epoch of every observation."""
    return [observation.epoch for observation in history]


def total_curve(observation: Observation, measurement: str) -> RankCurve | None:
    """The curve of all blocks together, or None where the measurement has no record."""
    record = observation.get(measurement)
    if record is None:
        return None
    curve: RankCurve | None = record.curves.get("total")
    return curve


def layer_spectra(observation: Observation) -> tuple[LayerSpectrum, ...]:
    """The spectra of the weights; none where they were not measured."""
    record = observation.get("weight_spectra")
    if record is None:
        return ()
    spectra: tuple[LayerSpectrum, ...] = record.layers
    return spectra


def layer_exponents(observation: Observation) -> dict[str, LayerExponent]:
    """α by layer, also of an observation that a checkpoint has condensed; empty where it was not measured."""
    record = observation.get("weight_spectra")
    if record is None:
        return {}
    exponents: dict[str, LayerExponent] = record.exponents()
    return exponents

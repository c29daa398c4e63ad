"""Makes callbacks and lenses from one flat set of options, so that tests stay short."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from lightning_factorlens import FactorLens, FactorLensCallback, LensOptions, TensorBoardOptions
from lightning_factorlens.measurements import Consistency, Measurement, RankAtError, default_measurements


def measurements_of(options: dict[str, Any]) -> list[Measurement]:
    """The default measurements with their options, which are taken out of ``options``."""
    chosen = default_measurements()
    if not options.pop("fit_power_law", True):
        chosen = [measurement for measurement in chosen if measurement.name != "weight_spectra"]
    if "error_thresholds" in options:
        chosen = _with(chosen, RankAtError(options.pop("error_thresholds")))
    if "consistency_shift" in options:
        chosen = _with(chosen, Consistency(options.pop("consistency_shift")))
    return chosen


def _with(measurements: list[Measurement], new: Measurement) -> list[Measurement]:
    return [new if measurement.name == new.name else measurement for measurement in measurements]


def _take(options: dict[str, Any], kind: type) -> Any:
    """An option object of those options that are its fields."""
    names = [field.name for field in fields(kind)]
    return kind(**{name: options.pop(name) for name in names if name in options})


def make_callback(**options: Any) -> FactorLensCallback:
    """A callback from flat options: those of LensOptions, of TensorBoardOptions, of measurements and its own.

    Unless `max_overhead` is given, every observation is full, whatever the speed of the machine.
    """
    options.setdefault("measurements", measurements_of(options))
    options.setdefault("max_overhead", None)
    lens = _take(options, LensOptions)
    tensorboard = _take(options, TensorBoardOptions)
    return FactorLensCallback(lens=lens, tensorboard=tensorboard, **options)


def make_lens(model: Any, **options: Any) -> FactorLens:
    """A lens from flat options."""
    options.setdefault("measurements", measurements_of(options))
    lens = _take(options, LensOptions)
    return FactorLens(model, lens, **options)

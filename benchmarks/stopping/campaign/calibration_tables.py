"""Tables of stated probabilities, and how they compare with those of a clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.reporting import markdown_table
from benchmarks.stopping.campaign.calibration_error import (
    Bin,
    brier_score,
    calibration_curve,
    calibration_error,
    ranking,
)
from benchmarks.stopping.campaign.probability_fit import Sample
from benchmarks.stopping.statistics import bootstrap_weights, mean_and_interval


def summary(stated: np.ndarray, found: Sequence[Sample]) -> dict[str, Any]:
    """The calibration curve of some statements, its error, and two scores of how much they tell.

    Args:
        stated: Their probabilities.
        found: The measurements.
    """
    is_true = np.array([float(sample.is_behind) for sample in found])
    weights = np.array([sample.weight for sample in found])
    curve = calibration_curve(stated, is_true, weights)
    return {
        "calibration_error": calibration_error(curve),
        "brier_score": brier_score(stated, is_true, weights),
        "area_under_roc": ranking(stated, is_true, weights),
        "curve": curve,
    }


def curve_table(curve: Sequence[Bin]) -> str:
    """A calibration curve in Markdown."""
    rows = []
    for each in curve:
        stated = f"{each.low:.0%} to {each.low + 0.1:.0%}"
        rows.append((stated, f"{each.share:.0%}", f"{each.stated:.0%}", f"{each.observed:.0%}"))
    return markdown_table(("stated", "of the epochs", "mean stated", "observed"), rows)


def paired_line(target: str, stated: np.ndarray, control: np.ndarray, found: Sequence[Sample]) -> str:
    """How much less the model's squared error is than the clock's, paired by run, with the interval over tasks.

    Args:
        target: ``"loss"`` or ``"accuracy"``.
        stated: The probabilities of the model.
        control: Those of the clock.
        found: The measurements.
    """
    is_true = np.array([float(sample.is_behind) for sample in found])
    difference = (stated - is_true) ** 2 - (control - is_true) ** 2
    names = np.array([sample.run for sample in found])
    tasks = {sample.run: sample.task for sample in found}
    by_run = [float(difference[names == run].mean()) for run in tasks]
    words = mean_and_interval(by_run, bootstrap_weights(list(tasks.values())), "+.3f")
    return f"Brier score less the clock's, target {target}, paired by run: {words}"

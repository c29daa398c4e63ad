"""Fits and checks the stated probability that the best epoch is past.

    python -m benchmarks.stopping.campaign.calibration --fit                 # fits, and writes the model
    python -m benchmarks.stopping.campaign.calibration                       # development runs, tasks left out
    python -m benchmarks.stopping.campaign.calibration --part confirmation   # the model as it is

On development runs every task is predicted by a model that was fitted without it. On confirmation runs the model that
the package comes with is used as it is; they are opened once, after it has been frozen by a commit. The last line is
the figure ``calibration_error``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reporting import Figure, markdown_table, print_figures
from benchmarks.stopping.campaign.calibration_tables import curve_table, paired_line, summary
from benchmarks.stopping.campaign.derive import RECORDS
from benchmarks.stopping.campaign.observed_runs import ObservedRun, campaign_runs, first_study, samples
from benchmarks.stopping.campaign.probability_fit import Sample, fit, left_out
from benchmarks.stopping.campaign.thresholds import threshold_table
from lightning_factorlens.stopping import default_monitor
from lightning_factorlens.stopping.probability_features import FALL, RISE, SHARE, SINCE
from lightning_factorlens.stopping.probability_model import (
    MODEL_FILE,
    PLANNED,
    TARGETS,
    UNPLANNED,
    fitted_model,
)

#: The features of the model, where the planned number of epochs is known and where it is not.
MODELS = {PLANNED: (RISE, SHARE, FALL), UNPLANNED: (SINCE, RISE, FALL)}
#: The control that sees the schedule and the clock, but not the signal.
CLOCK = (SHARE, FALL)
GOAL = 0.1
#: The name of the figure of each part; "confirmation" is that of the second campaign.
NAMES = {
    "development": "development_calibration_error",
    "confirmation": "calibration_error",
    "third": "third_calibration_error",
}


def stated_probabilities(found: Sequence[Sample], target: str, kind: str) -> np.ndarray:
    """What the package's model says of every measurement.

    Args:
        found: The measurements.
        target: ``"loss"`` or ``"accuracy"``.
        kind: `PLANNED` or `UNPLANNED`.
    """
    model = fitted_model(target, kind == PLANNED)
    return np.array([model.probability(sample.features) for sample in found])


def _stated_by_control(found: Sequence[Sample], target: str) -> np.ndarray:
    """What the clock says of every measurement, fitted on the runs on which the package's model was fitted."""
    model = fit(samples(first_study() + campaign_runs("development"), target), CLOCK)
    return np.array([model.probability(sample.features) for sample in found])


def write_model(runs: Sequence[ObservedRun]) -> None:
    """Fits all models and writes them with their provenance into the package.

    Args:
        runs: The runs; none of them may be a confirmation run of the campaign.
    """
    targets: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for target in TARGETS:
        targets[target] = {}
        errors[target] = {}
        for kind, names in MODELS.items():
            found = samples(runs, target, kind == PLANNED)
            model = fit(found, names)
            numbers = {"intercept": model.intercept, **model.coefficients}
            targets[target][kind] = {name: round(number, 4) for name, number in numbers.items()}
            errors[target][kind] = round(summary(left_out(found, names), found)["calibration_error"], 3)
    content = {
        "statement": "the best epoch of the planned training lies at or before the present one",
        "signals": {target: default_monitor(target) for target in TARGETS},
        "command": "python -m benchmarks.stopping.campaign.calibration --fit",
        "runs": len(runs),
        "tasks": len({run.task for run in runs}),
        "run_names": [run.name for run in runs],
        "calibration_error_with_the_task_left_out": errors,
        "targets": targets,
    }
    MODEL_FILE.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def report(runs: Sequence[ObservedRun], is_confirmation: bool) -> dict[str, Any]:
    """Prints the tables of both targets, and returns all numbers.

    Args:
        runs: The runs.
        is_confirmation: Whether the package's model is used; otherwise tasks are left out.
    """
    results: dict[str, Any] = {}
    rows = []
    for target in TARGETS:
        by_kind: dict[str, np.ndarray] = {}
        for kind, names in {**MODELS, "clock alone": CLOCK}.items():
            found = samples(runs, target, kind != UNPLANNED)
            if not is_confirmation:
                stated = left_out(found, names)
            elif kind in MODELS:
                stated = stated_probabilities(found, target, kind)
            else:
                stated = _stated_by_control(found, target)
            by_kind[kind] = stated
            result = summary(stated, found)
            results[f"{target}, {kind}"] = {**result, "curve": [asdict(each) for each in result["curve"]]}
            numbers = (result["calibration_error"], result["brier_score"], result["area_under_roc"])
            rows.append((target, kind, *(f"{number:.3f}" for number in numbers)))
            if kind == PLANNED:
                print(f"\nCalibration, target {target}:\n\n{curve_table(result['curve'])}")
        print("\n" + paired_line(target, by_kind[PLANNED], by_kind["clock alone"], found))
    print("\n" + markdown_table(("target", "model", "calibration error", "Brier score", "area under ROC"), rows))
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=tuple(NAMES), default="development")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the campaign's derived records")
    parser.add_argument("--fit", action="store_true", help="fit the model and write it into the package")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    args = parser.parse_args(arguments)
    is_confirmation = args.part != "development"
    if is_confirmation and args.fit:
        parser.error("--fit: the model is never fitted on confirmation runs; leave --part out")
    runs = campaign_runs(args.part, args.records)
    if not runs:
        parser.error(f"--records: no {args.part} record in {args.records}; make them with campaign.derive")
    if not is_confirmation:
        runs = first_study() + runs
    if args.fit:
        write_model(runs)
    results = report(runs, is_confirmation)
    results["thresholds"] = threshold_table(runs)
    print("\n" + results["thresholds"])
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    error = results[f"loss, {PLANNED}"]["calibration_error"]
    print_figures([Figure(NAMES[args.part], error, GOAL, at_most=True)])


if __name__ == "__main__":
    main()

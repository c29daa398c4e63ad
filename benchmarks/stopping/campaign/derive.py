"""Turns raw runs into the small committed records, with every series that a candidate rule reads.

    python -m benchmarks.stopping.campaign.derive --raw RAW

A record has the form of the first campaign (`..make_records`), so that `..replay` scores both.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stopping.campaign import signals
from benchmarks.stopping.campaign.chained import chained_consistency
from benchmarks.stopping.campaign.predictions import Array, Predictions
from benchmarks.stopping.campaign.raw import RawRun, load
from benchmarks.stopping.make_records import write

RECORDS = Path(__file__).with_name("records")


def derived_signals(predictions: Predictions) -> dict[str, Array]:
    """Every series of a run that a rule of `candidates` reads, by name."""
    found = {
        "loss_signal": signals.loss_signal(predictions),
        "accuracy_signal": signals.accuracy_signal(predictions),
        "consistency": signals.consistency(predictions),
        "consistency/four": signals.consistency_of_four(predictions),
        "chained": chained_consistency(predictions),
        "imbalance": signals.imbalance(predictions),
        "disagreeing": signals.loss_of_disagreeing(predictions),
        "memorization_gap": signals.memorization_gap(predictions),
        "entropy": signals.entropy(predictions),
        "distinction": signals.distinction(predictions),
        "disagreement": signals.disagreement(predictions),
        "divergence": signals.divergence(predictions),
        "clock": signals.clock(predictions),
        "epoch": np.arange(1, len(predictions.p) + 1),
        "agreement_loss": signals.agreement_loss(predictions),
        "plain_loss": signals.agreement_loss(predictions, 1.0),
        "perturbed_loss": signals.agreement_loss(predictions, 0.0),
    }
    found["begun"] = signals.after_distinction(predictions, np.zeros(len(predictions.p)))
    return found


def derive(run: RawRun, series: Mapping[str, Array]) -> dict[str, Any]:
    """A record from a run and its signals."""
    return {
        "format": 2,
        "record": run.name,
        "task": asdict(run.task) | {"kind": run.task.kind, "cell": run.task.cell, "plateau": run.task.is_long_plateau},
        "seed": run.seed,
        "hidden": {"test_loss": run.hidden_test_loss.tolist(), "test_accuracy": run.hidden_test_accuracy.tolist()},
        "validation": {
            "clean_loss": run.val_clean_loss.tolist(),
            "clean_accuracy": run.val_clean_accuracy.tolist(),
            "noisy_loss": run.val_noisy_loss.tolist(),
            "noisy_accuracy": run.val_noisy_accuracy.tolist(),
        },
        "training": {
            "loss": run.train_loss.tolist(),
            "accuracy": run.train_accuracy.tolist(),
            "learning_rate": run.learning_rate.tolist(),
        },
        "signals": {name: values.tolist() for name, values in series.items()},
    }


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="folder of the raw files")
    parser.add_argument("--out", type=Path, default=RECORDS, help="folder of the derived records")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for path in sorted(args.raw.glob("*.npz")):
        run = load(path)
        write(args.out / f"{run.name}.json.gz", derive(run, derived_signals(Predictions(run))))
        print(run.name, flush=True)


if __name__ == "__main__":
    main()

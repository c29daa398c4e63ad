"""Adds to the derived records what an average of the weights would have cost, had it been handed over at an epoch.

    python -m benchmarks.stopping.campaign.average_series --raw RAW [--weights WEIGHTS --data-dir DATA] [--records DIR]

A record gets the entry ``averages``: for each average the hidden test loss and accuracy at every epoch. ``swa`` was
recorded with the run. ``polynomial``, which the package keeps, is computed from the saved weights of every epoch, and
is absent where they were too large to be saved; `average_of` takes the recorded one in its place.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.stopping.campaign.derive import RECORDS
from benchmarks.stopping.campaign.raw import RawRun, load
from benchmarks.stopping.campaign.saved_weights import hidden_scores, saved_weights
from benchmarks.stopping.make_records import read, write
from lightning_factorlens.callbacks._weight_average import newest_share

Series = dict[str, list[float]]


def running_averages(weights: Tensor) -> Iterator[Tensor]:
    """The package's polynomial average after every epoch; each yield changes the same vector.

    Args:
        weights: The weights of T epochs, shape (T, n).
    """
    average = torch.zeros_like(weights[0])
    for t, newest in enumerate(weights, start=1):
        yield average.lerp_(newest, newest_share(t))


def polynomial_series(run: RawRun, data: Path, folder: Path) -> Series | None:
    """Hidden test loss and accuracy of the package's average at every epoch; None where no weights were saved.

    Args:
        run: The run.
        data: Folder of the data sets.
        folder: Folder of the saved weights.
    """
    weights = saved_weights(folder, run.task, run.seed)
    if weights is None:
        return None
    scores = hidden_scores(data, run.task, run.seed, running_averages(weights))
    return {"test_loss": [loss for loss, _ in scores], "test_accuracy": [accuracy for _, accuracy in scores]}


def averages(run: RawRun, data: Path | None, folder: Path | None) -> dict[str, Series]:
    """The entry ``averages`` of a run's record.

    Args:
        run: The run.
        data: Folder of the data sets; None for the recorded average alone.
        folder: Folder of the saved weights.
    """
    found = {
        "swa": {
            "test_loss": run.hidden_swa_test_loss.tolist(),
            "test_accuracy": run.hidden_swa_test_accuracy.tolist(),
        }
    }
    if data is not None and folder is not None:
        polynomial = polynomial_series(run, data, folder)
        if polynomial is not None:
            found["polynomial"] = polynomial
    return found


def average_of(record: Mapping[str, Any], name: str) -> Series:
    """An average's series; the recorded mean where the weights of the run were too large to be saved.

    Args:
        record: A derived record with the entry ``averages``.
        name: ``"polynomial"`` or ``"swa"``.
    """
    known: dict[str, Series] = record["averages"]
    return known[name] if name in known else known["swa"]


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="folder of the raw files")
    parser.add_argument("--weights", type=Path, help="folder of the saved weights")
    parser.add_argument("--data-dir", type=Path, help="folder of the data sets, for the saved weights")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the derived records")
    args = parser.parse_args()
    for path in sorted(args.raw.glob("*.npz")):
        run = load(path)
        target = args.records / f"{run.name}.json.gz"
        record = read(target)
        write(target, record | {"averages": averages(run, args.data_dir, args.weights)})
        print(run.name, flush=True)


if __name__ == "__main__":
    main()

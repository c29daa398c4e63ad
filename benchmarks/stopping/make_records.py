"""Turns raw records into the small ones that are committed: every signal as a series of one number per epoch.

    python -m benchmarks.stopping.make_records --raw RAW --records benchmarks/stopping/records

A derived record is gzipped JSON: ``task`` and ``seed``; ``hidden`` (test_loss, test_accuracy, never shown to a rule);
``validation`` (clean and noisy, loss and accuracy, of the held-out tenth); ``training`` (loss, accuracy,
learning_rate); ``signals`` by name, whose first word says what it needs (`signals.series`); ``seconds`` (the cost of
the measurements). Every series has one entry per epoch, rounded to five digits, null where there is no value.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.stopping.signals.factor_series import factor_signals, weight_signals
from benchmarks.stopping.signals.probe_series import probe_signals
from benchmarks.stopping.signals.training_series import label_signals, training_image_signals
from benchmarks.stopping.tasks import TASKS, record_name

DIGITS = 5


def read_raw(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A raw record: its description with the series of scalars, and its arrays."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "meta"}
        return json.loads(file["meta"].tobytes()), arrays


def derive(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """A derived record from a raw one."""
    scalars = meta["series"]
    derived = {
        **probe_signals(arrays, meta["ladder"]),
        **factor_signals(arrays, scalars, meta["ranks"]),
        **weight_signals(scalars),
        **training_image_signals(arrays, meta["train_ladder"]),
        **label_signals(arrays, scalars, meta["train_ladder"]),
    }
    names = ("val_clean_loss", "val_clean_accuracy", "val_noisy_loss", "val_noisy_accuracy")
    return {
        **{k: meta[k] for k in ("format", "record", "task", "seed", "parameters", "layers")},
        "hidden": {k: scalars[k] for k in ("test_loss", "test_accuracy")},
        "validation": {k.removeprefix("val_"): scalars[k] for k in names},
        "training": {
            "loss": scalars["train_loss"],
            "accuracy": scalars["train_accuracy"],
            "learning_rate": scalars["learning_rate"],
        },
        "signals": derived,
        "seconds": {k: scalars[f"{k}_seconds"] for k in ("probe", "lens", "label")},
    }


def rounded(value: Any) -> Any:
    """The same nested value with numbers rounded to five digits, and NaN and infinity replaced by None."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def write(path: Path, record: dict[str, Any]) -> None:
    """Writes gzipped JSON, with the same bytes for the same record."""
    text = json.dumps(rounded(record), separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def read(path: Path) -> dict[str, Any]:
    """A derived record as `write` wrote it; a missing value of a series is None."""
    return json.loads(gzip.decompress(path.read_bytes()))


def curve_in_words(record: dict[str, Any]) -> str:
    """One line on the hidden curve, which shows whether a task is informative; not to be used for choosing a rule."""
    loss, accuracy = (np.array(record["hidden"][k]) for k in ("test_loss", "test_accuracy"))
    best = int(loss.argmin())
    return (
        f"{record['record']:44s} loss best {loss[best]:.3f} at {best + 1:2d} of {len(loss)}, mean {loss.mean():.3f}, "
        f"last {loss[-1]:.3f}; accuracy best {accuracy.max():.3f}, there {accuracy[best]:.3f}, last {accuracy[-1]:.3f}"
        f"{'; healthy' if record['task']['healthy'] else ''}"
    )


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="folder of the raw records")
    parser.add_argument("--records", type=Path, required=True, help="folder of the derived records")
    parser.add_argument("--again", action="store_true", help="write also the records that exist already")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.records.mkdir(parents=True, exist_ok=True)
    expected = [record_name(task, seed) for task in TASKS.values() for seed in task.seeds]
    missing = []
    for name in expected:
        source, target = args.raw / f"{name}.npz", args.records / f"{name}.json.gz"
        if not source.exists():
            missing += [] if target.exists() else [name]
        elif args.again or not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            write(target, derive(*read_raw(source)))
            print(curve_in_words(read(target)), flush=True)
    size = sum(f.stat().st_size for f in args.records.glob("*.json.gz"))
    print(
        f"{len(expected) - len(missing)} of {len(expected)} records, {size / 1e6:.2f} MB; missing: {missing or 'none'}"
    )


if __name__ == "__main__":
    main()

"""Figure 2(c): does the factorization error follow the test loss from epoch to epoch?

It is read from all available records of the stopping study, as no stopping rule is involved. For each record three
signed rank correlations are computed: of the levels, of the changes from one epoch to the next, and with the number of
the epoch, because any two quantities that drift during training are correlated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.papers.curves import area
from benchmarks.papers.statistics import Values, differences, mean, spearman
from benchmarks.stopping.make_records import read
from benchmarks.stopping.statistics import bootstrap_weights
from benchmarks.stopping.training_run import RANKS

TITLE = "Epoch by epoch (Fig. 2c)"
RECORDS = Path(__file__).parents[1] / "stopping" / "records"
Record = Mapping[str, Any]


def mean_error(kind: str, scope: str) -> Callable[[Record], list[float]]:
    """The area under the curve at every epoch."""
    names = [f"factors/{kind}/{scope}/{rank}" for rank in RANKS]
    return lambda record: [area(RANKS, errors) for errors in zip(*(record["signals"][n] for n in names))]


def named(name: str) -> Callable[[Record], list[float | None]]:
    """A recorded signal."""
    return lambda record: list(record["signals"][name])


#: The series that are compared with the test loss.
SIGNALS: dict[str, Callable[[Record], Values]] = {
    "RMSE": mean_error("rmse", "total"),
    "relative error": mean_error("rel_error", "total"),
    "activations alone": mean_error("rel_error", "activations"),
    "mean α": named("weights/mean_alpha"),
    "scale (RMS)": named("factors/rms/total"),
}
GROUPS: dict[str, Callable[[float], bool]] = {
    "all": lambda noise: True, "clean": lambda noise: noise == 0, "noisy": lambda noise: noise > 0
}  # fmt: skip
CORRELATIONS = ("levels", "changes", "epoch")


def correlations(series: Values, loss: Values) -> dict[str, float]:
    """Spearman of a series with the test loss, of their first differences, and of the series with the epoch."""
    return {
        "levels": spearman(series, loss),
        "changes": spearman(differences(series), differences(loss)),
        "epoch": spearman(series, np.arange(len(series))),
    }


def measure(folder: Path = RECORDS, most: int | None = None) -> list[dict[str, Any]]:
    """One entry per record, with the correlations of every signal and of the test loss itself.

    Args:
        folder: Folder of the derived records.
        most: Largest number of records; None for all.

    Raises:
        FileNotFoundError: There is no record in ``folder``.
    """
    paths = sorted(folder.glob("*.json.gz"))
    if not paths:
        raise FileNotFoundError(f"records: found none in {folder}; make them with python -m benchmarks.stopping.record")
    return [_measure(read(path)) for path in paths[:most]]


def _measure(record: Record) -> dict[str, Any]:
    loss = record["hidden"]["test_loss"]
    found = {name: correlations(signal(record), loss) for name, signal in SIGNALS.items()}
    found["test loss"] = correlations(loss, loss)
    task = record["task"]
    return {"record": record["record"], "task": task["name"], "noise": task["noise"], "correlations": found}


def summary(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over records by group of labels, signal and correlation, with intervals over tasks and then records."""
    found = {}
    for group, belongs in GROUPS.items():
        members = [r for r in records if belongs(r["noise"])]
        weights = bootstrap_weights([r["task"] for r in members])
        found[group] = {
            name: {kind: mean([r["correlations"][name][kind] for r in members], weights) for kind in CORRELATIONS}
            for name in (*SIGNALS, "test loss")
        } | {"records": len(members)}
    return found

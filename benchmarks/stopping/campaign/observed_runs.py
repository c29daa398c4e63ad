"""Recorded runs in one form, from the committed records of the first study and of the campaign."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stopping.campaign.derive import RECORDS
from benchmarks.stopping.campaign.probability_fit import Sample
from benchmarks.stopping.campaign.task import Part
from benchmarks.stopping.campaign.tasks import PARTS
from benchmarks.stopping.candidates import DEFAULT
from benchmarks.stopping.make_records import read
from benchmarks.stopping.replay import RECORDS as FIRST_RECORDS
from lightning_factorlens.stopping import EpochInfo, default_monitor, epoch_infos
from lightning_factorlens.stopping.probability_features import SeriesFeatures
from lightning_factorlens.stopping.probability_model import TARGETS

#: For each target the name of its signal in the records.
SIGNALS = {target: default_monitor(target).partition("/")[2] for target in TARGETS}


@dataclass(frozen=True)
class ObservedRun:
    """What a rule would have seen of a run, and what it is scored by; one entry for each epoch.

    Attributes:
        name: Name of the run.
        task: Name of its task.
        healthy: Whether the task was designed so that nothing should stop it.
        signals: For each target the signal that the lens logs; NaN where it has no value.
        rates: The learning rate.
        loss: Hidden test loss.
        accuracy: Hidden test accuracy.
    """

    name: str
    task: str
    healthy: bool
    signals: Mapping[str, Sequence[float]]
    rates: Sequence[float]
    loss: Sequence[float]
    accuracy: Sequence[float]

    @property
    def infos(self) -> list[EpochInfo]:
        """What a rule is told of every epoch; the schedule is known."""
        return epoch_infos(len(self.loss), self.rates)

    def best_epoch(self, target: str) -> int:
        """The epoch with the lowest test loss or the highest test accuracy, the first of equal ones."""
        if target == "loss":
            return 1 + int(np.argmin(self.loss))
        return 1 + int(np.argmax(self.accuracy))


def first_study(folder: Path = FIRST_RECORDS) -> list[ObservedRun]:
    """The committed records of the first study, of both its parts, with its signal for each target.

    Today's signals cannot be computed from them. Their features are in units of the series' own jitter, in which the
    two signals are alike enough that the older runs improve the model (`FINDINGS.md`).

    Args:
        folder: Their folder.
    """
    runs = []
    for path in sorted(folder.glob("*.json.gz")):
        record = read(path)
        runs.append(_from_record(record, dict.fromkeys(SIGNALS, DEFAULT.of(record))))
    return runs


def campaign_runs(part: Part, folder: Path = RECORDS) -> list[ObservedRun]:
    """The committed records of a part of the campaign; those of other parts are not opened.

    Args:
        part: ``"development"``, ``"confirmation"`` or ``"third"``.
        folder: Their folder.
    """
    runs = []
    for task in PARTS[part]:
        for path in sorted(folder.glob(f"{task.name}-s[0-9]*.json.gz")):
            record = read(path)
            signals = {target: _finite(record["signals"][name]) for target, name in SIGNALS.items()}
            runs.append(_from_record(record, signals))
    return runs


def _finite(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _from_record(record: dict[str, Any], signals: Mapping[str, Sequence[float]]) -> ObservedRun:
    task = record["task"]
    hidden = record["hidden"]
    return ObservedRun(
        name=record["record"],
        task=task["name"],
        healthy=task["healthy"],
        signals=signals,
        rates=record["training"]["learning_rate"],
        loss=hidden["test_loss"],
        accuracy=hidden["test_accuracy"],
    )


def samples(runs: Sequence[ObservedRun], target: str, is_planned: bool = True) -> list[Sample]:
    """All measurements of the runs; each task has the same weight, each of its runs, and each epoch of a run.

    Args:
        runs: The runs.
        target: ``"loss"`` or ``"accuracy"``.
        is_planned: Whether the features know the planned number of epochs.
    """
    n_runs = Counter(run.task for run in runs)
    found = []
    for run in runs:
        weight = 1 / n_runs[run.task] / len(run.loss)
        best = run.best_epoch(target)
        features = SeriesFeatures()
        state = features.start()
        for value, info in zip(run.signals[target], run.infos):
            if not math.isfinite(value):
                continue
            if not is_planned:
                info = EpochInfo(info.epoch, info.lr, info.min_future_lr)
            state, values = features.step(state, value, info)
            found.append(Sample(dict(values), info.epoch >= best, run.task, run.name, weight))
    return found

"""Recorded runs in one form, from the committed records of the first study and from the campaign's raw files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stopping.campaign.probability_fit import Sample
from benchmarks.stopping.candidates import DEFAULT
from benchmarks.stopping.make_records import read
from benchmarks.stopping.replay import RECORDS
from lightning_factorlens.stopping import EpochInfo, epoch_infos
from lightning_factorlens.stopping.probability_features import SeriesFeatures

#: Names of the parts: the first study, whose records are all used up, and the two parts of the campaign.
FIRST_STUDY = "first study"


@dataclass(frozen=True)
class ObservedRun:
    """What a rule would have seen of a run, and what it is scored by; one entry for each epoch.

    Attributes:
        name: Name of the run.
        task: Name of its task.
        part: `FIRST_STUDY`, ``"development"`` or ``"confirmation"``.
        healthy: Whether the task was designed so that nothing should stop it.
        signal: The signal that the lens logs; NaN where it has no value.
        rates: The learning rate.
        loss: Hidden test loss.
        accuracy: Hidden test accuracy.
    """

    name: str
    task: str
    part: str
    healthy: bool
    signal: Sequence[float]
    rates: Sequence[float]
    loss: Sequence[float]
    accuracy: Sequence[float]

    @property
    def infos(self) -> list[EpochInfo]:
        """What a rule is told of every epoch; the schedule is known."""
        return epoch_infos(len(self.signal), self.rates)

    def best_epoch(self, target: str) -> int:
        """The epoch with the lowest test loss or the highest test accuracy, the first of equal ones."""
        if target == "loss":
            return 1 + int(np.argmin(self.loss))
        return 1 + int(np.argmax(self.accuracy))


def first_study(folder: Path = RECORDS) -> list[ObservedRun]:
    """The committed records of the first study, of both its parts.

    Args:
        folder: Their folder.
    """
    runs = []
    for path in sorted(folder.glob("*.json.gz")):
        runs.append(_from_record(read(path)))
    return runs


def _from_record(record: dict[str, Any]) -> ObservedRun:
    task = record["task"]
    hidden = record["hidden"]
    return ObservedRun(
        name=record["record"],
        task=task["name"],
        part=FIRST_STUDY,
        healthy=task["healthy"],
        signal=DEFAULT.of(record),
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
        weight = 1 / n_runs[run.task] / len(run.signal)
        best = run.best_epoch(target)
        features = SeriesFeatures()
        state = features.start()
        for value, info in zip(run.signal, run.infos):
            if not math.isfinite(value):
                continue
            if not is_planned:
                info = EpochInfo(info.epoch, info.lr, info.min_future_lr)
            state, values = features.step(state, value, info)
            found.append(Sample(dict(values), info.epoch >= best, run.task, run.name, weight))
    return found


def campaign_runs(folder: Path, part: str) -> list[ObservedRun]:
    """The campaign's runs of a part, from raw files.

    Args:
        folder: Folder of the raw files.
        part: ``"development"`` or ``"confirmation"``.
    """
    return []

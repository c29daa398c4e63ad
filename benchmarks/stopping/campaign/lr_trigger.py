"""Compares what lowers the learning rate: ``LabelFreeStopping(mode="lr")`` or ``ReduceLROnPlateau`` on a clean split.

    python -m benchmarks.stopping.campaign.lr_trigger --data-dir DATA --cache CACHE

Both begin with the same weights and batches at a constant rate and multiply the rate by 0.1 when they see no
improvement for 10 epochs; the split's labels are right. Ten short trainings of development tasks, a minute each.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from benchmarks.reporting import markdown_table
from benchmarks.stopping.campaign.predictions import Predictions
from benchmarks.stopping.campaign.run import Run
from benchmarks.stopping.campaign.signals import loss_signal
from benchmarks.stopping.campaign.task import Task
from benchmarks.stopping.campaign.tasks import TASKS
from lightning_factorlens.stopping import EpochInfo, default_rule

FACTOR = 0.1
PATIENCE = 10
#: Development tasks and the number of epochs; their schedule is replaced by a constant rate.
LENGTHS = {
    "mnist-cnn8-1000-noise40-onecycle": 40,
    "mnist-cnn8-500-plateau": 50,
    "digits-mlp-400-noise20": 60,
    "cifar10-cnn16-1000-sgd-restarts": 40,
    "mnist-resnet8-1000-noise40-sgd-cosine": 30,
}
SEED = 200
#: Says after every epoch whether the rate is to be lowered.
Trigger = Callable[[Run, int], bool]


@dataclass(frozen=True)
class Course:
    """What came out of one training.

    Attributes:
        lowered: The epochs after which the rate was lowered.
        loss: Hidden test loss after every epoch.
        accuracy: Hidden test accuracy.
    """

    lowered: tuple[int, ...]
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]


def label_free() -> Trigger:
    """The default rule on the lens's signal, which starts anew after every reduction, as the callback does it."""
    rule = default_rule()
    states = [rule.start()]

    def is_due(run: Run, epoch: int) -> bool:
        found = SimpleNamespace(
            task=run.task,
            probe_logits=np.stack(run.series.arrays["probe_logits"]),
            probe_shifted=np.stack(run.series.arrays["probe_shifted"]),
            train_loss=np.asarray(run.series.scalars["train_loss"]),
        )
        predictions: Any = Predictions(found)  # type: ignore[arg-type]
        value = float(loss_signal(predictions)[-1])
        states[0], decision = rule.step(states[0], value, EpochInfo(epoch, run.rates[-1], max_epochs=run.task.epochs))
        if decision.stop:
            states[0] = rule.start()
        return decision.stop

    return is_due


def clean_split() -> Trigger:
    """PyTorch's ``ReduceLROnPlateau`` with its defaults on the loss of a held-out tenth with right labels."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=FACTOR, patience=PATIENCE)

    def is_due(run: Run, epoch: int) -> bool:
        before = optimizer.param_groups[0]["lr"]
        scheduler.step(run.series.scalars["val_clean_loss"][-1])
        return bool(optimizer.param_groups[0]["lr"] < before)

    return is_due


def train(task: Task, trigger: Trigger, data: Path, cache: Path) -> Course:
    """Trains a task at a rate that a trigger lowers."""
    run = Run(task, SEED, data, cache)
    lowered = []
    for epoch in range(1, task.epochs + 1):
        run.train_epoch()
        run.measure()
        if trigger(run, epoch):
            lowered.append(epoch)
            run.task = replace(run.task, rate=run.task.rate * FACTOR)
    scalars = run.series.scalars
    return Course(tuple(lowered), tuple(scalars["hidden_test_loss"]), tuple(scalars["hidden_test_accuracy"]))


def summary(course: Course) -> tuple[str, ...]:
    """When the rate was lowered, and the test loss and accuracy of the last weights."""
    epochs = ", ".join(map(str, course.lowered)) or "never"
    return epochs, f"{course.loss[-1]:.3f}", f"{course.accuracy[-1]:.1%}"


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="holds MNIST/raw and cifar10.npz")
    parser.add_argument("--cache", type=Path, required=True, help="folder of pretrained weights")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    differences = []
    for name, epochs in LENGTHS.items():
        task = replace(TASKS[name], epochs=epochs, schedule="constant", drops=(), cycles=())
        ours = train(task, label_free(), args.data_dir, args.cache)
        theirs = train(task, clean_split(), args.data_dir, args.cache)
        rows.append((name, *summary(ours), *summary(theirs)))
        differences.append((ours.loss[-1] - theirs.loss[-1], 100 * (ours.accuracy[-1] - theirs.accuracy[-1])))
        print(rows[-1], flush=True)
    header = (
        "task at a constant rate",
        "lens: lowered after",
        "loss",
        "accuracy",
        "split: lowered after",
        "loss",
        "accuracy",
    )
    print(markdown_table(header, rows))
    loss = mean(difference for difference, _ in differences)
    points = mean(difference for _, difference in differences)
    print(f"mean difference, lens less split: loss {loss:+.3f}, accuracy {points:+.1f} points, {len(rows)} pairs")
    if not math.isfinite(loss):
        raise SystemExit("a loss is not finite")


if __name__ == "__main__":
    main()

"""Scores weights that were computed from the saved weights of every epoch, such as other averages of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.stopping.campaign.averages import load_flat
from benchmarks.stopping.campaign.data import load
from benchmarks.stopping.campaign.losses import loss_and_accuracy
from benchmarks.stopping.campaign.networks import build
from benchmarks.stopping.campaign.run import outputs
from benchmarks.stopping.campaign.task import Task
from benchmarks.stopping.campaign.tasks import run_name


def saved_weights(folder: Path, task: Task, seed: int) -> Tensor | None:
    """Weights and statistics of batch norms at the end of every epoch, shape (T, n); None where they were too large.

    Args:
        folder: The folder that `record` was given as ``--weights``.
        task: The run's task.
        seed: Its seed.
    """
    path = folder / f"{run_name(task, seed)}.npy"
    return torch.from_numpy(np.load(path)) if path.exists() else None


def hidden_scores(folder: Path, task: Task, seed: int, weights: Iterable[Tensor]) -> list[tuple[float, float]]:
    """Loss and accuracy on the hidden test for each vector of weights.

    Args:
        folder: Folder of the data sets.
        task: The run's task.
        seed: Its seed.
        weights: Vectors of shape (n,), as rows of `saved_weights` or means of them.
    """
    parts = load(folder, task, seed)
    model = build(task.net, tuple(parts.train_x.shape[1:]), parts.classes, task.dropout, seed).eval()
    scores = []
    for vector in weights:
        load_flat(model, vector)
        scores.append(loss_and_accuracy(outputs(model, parts.test_x)[0], parts.test_y))
    return scores

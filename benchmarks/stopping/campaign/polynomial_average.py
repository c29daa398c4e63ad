"""The average that `LabelFreeStopping(restore_best="average")` keeps, computed from the saved weights of a run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from benchmarks.stopping.campaign.raw import RawRun
from benchmarks.stopping.campaign.saved_weights import hidden_scores, saved_weights
from lightning_factorlens.callbacks._weight_average import newest_share


def polynomial_average(weights: Tensor) -> Tensor:
    """The average of the weights of T epochs, shape (n,), from shape (T, n)."""
    average = torch.zeros_like(weights[0])
    for t, newest in enumerate(weights, start=1):
        average.lerp_(newest, newest_share(t))
    return average


def polynomial_scores(run: RawRun, epoch: int, data: Path, folder: Path) -> tuple[float, float] | None:
    """Hidden test loss and accuracy of the average after an epoch; None where the weights were not saved.

    Args:
        run: The run.
        epoch: The last epoch of the average, counted from 1.
        data: Folder of the data sets.
        folder: Folder of the saved weights.
    """
    weights = saved_weights(folder, run.task, run.seed)
    if weights is None:
        return None
    [found] = hidden_scores(data, run.task, run.seed, [polynomial_average(weights[:epoch])])
    return found

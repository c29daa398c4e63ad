"""Series of a raw run that baselines and upper bounds read, with the names of the first study where it had them.

The α rules and gradients of the first study are not among them: these runs record forward passes alone.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from benchmarks.stopping.campaign.losses import loss_and_accuracy
from benchmarks.stopping.campaign.raw import Array, RawRun
from benchmarks.stopping.signals.series import by_epoch, each, steps
from lightning_factorlens.metrics.confidence import entropy
from lightning_factorlens.metrics.prediction_changes import prediction_changes
from lightning_factorlens.metrics.rankme import rankme

Series = dict[str, list[float]]


def baseline_series(run: RawRun) -> Series:
    """All series of this module, one number for each epoch; NaN where there is none.

    ``probe/entropy`` and ``probe/changes`` exist for runs with one class a sample, ``images/label_wave`` for those
    whose classes were recorded while training. ``labels/…`` need training labels, ``hindsight/…`` labels that no rule
    has.
    """
    found: Series = {
        "probe/rankme_features": each(rankme, by_epoch(run.probe_features)),
        "weights/norm": run.weight_norm.tolist(),
        "weights/distance": run.weight_distance.tolist(),
        "weights/step": run.weight_step.tolist(),
        **_losses("labels/subset", run.train_logits, run.train_labels),
        **_losses("hindsight/probe", run.probe_logits, run.probe_labels),
        "hindsight/ema_test_loss": run.hidden_ema_test_loss.tolist(),
        "hindsight/ema_test_accuracy": run.hidden_ema_test_accuracy.tolist(),
        "hindsight/swa_test_loss": run.hidden_swa_test_loss.tolist(),
        "hindsight/swa_test_accuracy": run.hidden_swa_test_accuracy.tolist(),
    }
    if run.task.kind == "classes":
        plain = by_epoch(run.probe_logits)
        found["probe/entropy"] = each(entropy, plain)
        found["probe/changes"] = steps(prediction_changes, plain)
    if len(run.train_predictions):
        changed = (run.train_predictions[1:] != run.train_predictions[:-1]).mean(1)
        found["images/label_wave"] = [math.nan, *changed.tolist()]
    return found


def as_labels(labels: Array, kind: str) -> Tensor:
    """Labels of a raw file as losses take them."""
    if kind == "multilabel":
        return torch.from_numpy(labels.astype(np.float32))
    return torch.from_numpy(labels.astype(np.int64))


def _losses(name: str, logits: Array, labels: Array) -> Series:
    """Loss and accuracy of recorded outputs at every epoch."""
    kind = "multilabel" if labels.ndim == 2 else "classes"
    targets = as_labels(labels, kind)
    both = [loss_and_accuracy(of_epoch, targets) for of_epoch in by_epoch(logits)]
    losses = [loss for loss, _ in both]
    accuracies = [accuracy for _, accuracy in both]
    return {f"{name}_loss": losses, f"{name}_accuracy": accuracies}

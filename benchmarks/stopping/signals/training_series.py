"""Signals from training images: without their labels, and with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.stopping.signals.prediction_consistency import prediction_agreement_loss, soft_consistency
from benchmarks.stopping.signals.series import Scalars, Series, by_epoch, each, steps
from lightning_factorlens.metrics.confidence import confidence, entropy
from lightning_factorlens.metrics.prediction_changes import prediction_changes


def training_image_signals(arrays: Mapping[str, np.ndarray], transforms: Sequence[str]) -> Series:
    """Signals from training images without labels: a subset under shifts, and the predictions made while training.

    Args:
        arrays: The arrays of a raw record.
        transforms: Names of the transforms of the subset, the plain images first.
    """
    predictions = [torch.from_numpy(of_epoch) for of_epoch in arrays["train_predictions"]]
    found: Series = {"images/label_wave": steps(_changed_fraction, predictions)}
    plain = by_epoch(arrays["train_logits"][:, 0])
    found["images/confidence"] = each(confidence, plain)
    found["images/entropy"] = each(entropy, plain)
    found["images/changes"] = steps(prediction_changes, plain)
    for k, transform in enumerate(transforms[1:], 1):
        other = by_epoch(arrays["train_logits"][:, k])
        found[f"images/hard/{transform}"] = [prediction_agreement_loss(p, [q]) for p, q in zip(plain, other)]
        found[f"images/soft/{transform}"] = [soft_consistency(p, [q]) for p, q in zip(plain, other)]
    return found


def label_signals(arrays: Mapping[str, np.ndarray], scalars: Scalars, transforms: Sequence[str]) -> Series:
    """Signals that need training labels, right or wrong as they are given.

    Args:
        arrays: The arrays of a raw record.
        scalars: Its scalars.
        transforms: Names of the transforms of the subset, the plain images first.
    """
    found: Series = {}
    given = torch.from_numpy(arrays["subset_given"].astype(np.int64))
    for k, transform in enumerate(transforms):
        loss = []
        for logits in by_epoch(arrays["train_logits"][:, k]):
            loss.append(float(torch.nn.functional.cross_entropy(logits, given)))
        found[f"labels/subset_loss/{transform}"] = loss
    accuracy = []
    for logits in by_epoch(arrays["train_logits"][:, 0]):
        accuracy.append(float((logits.argmax(1) == given).double().mean()))
    found["labels/subset_accuracy"] = accuracy
    alignments = [a.double() for a in by_epoch(arrays["train_alignment"])]
    found["labels/alignment_mean"] = [float(a.mean()) for a in alignments]
    found["labels/alignment"] = each(alignment_score, alignments)
    for name in scalars["gradients"][0]:
        found[f"labels/{name}"] = [of_epoch[name] for of_epoch in scalars["gradients"]]
    return found


def alignment_score(cosines: Tensor) -> float:
    """The score of `supervised.gradient_alignment.gradient_weight_alignment` from stored alignments."""
    deviation = cosines - cosines.mean()
    kurtosis = deviation.pow(4).mean() / deviation.square().mean().square() - 3
    return float(cosines.mean() / (kurtosis + 1.2))


def _changed_fraction(before: Tensor, predictions: Tensor) -> float:
    return float((before != predictions).double().mean())

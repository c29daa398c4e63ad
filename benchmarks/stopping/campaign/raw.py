"""Reads the raw file of a run: everything that later signals and rules may need, so that they need no new training."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stopping.campaign.task import Task

Array = np.ndarray


@dataclass(frozen=True)
class RawRun:
    """One run of T epochs. The first entry along T belongs to the end of epoch 1.

    N is the number of probe samples, K the number of outputs, P the four perturbations. Outputs are logits in float16;
    those of ``task.kind == "pixel_classes"`` have two more axes (H, W) after K. What a rule must not see is named
    ``hidden_…``; labels of the probe are for upper bounds only.

    Attributes:
        task: What was trained.
        seed: Seed of data, weights and order.
        perturbations: Names of the perturbations. Images: ``shift+p+p``, ``shift-p-p``, ``shift+p-p``, ``shift-p+p``
            (down, right; wrapped) with the lens's p, so that the even samples of the first and the odd ones of the
            second are the lens's `alternating_shift`. The outputs of pixels are shifted back. Series: ``time+s``,
            ``time-s``, ``time+2s``, ``time-2s``. Tables: four draws of `FeatureDropout`. Tokens: four of `TokenMask`.
        shift: Pixels p or steps s of the shift; 0 for tables and tokens.
        steps_per_epoch: Optimizer steps in an epoch.
        probe_logits: Shape (T, N, K).
        probe_shifted: Shape (T, P, N, K).
        probe_features: Penultimate features of the probe, shape (T, N, width); means over pixels for masks.
        probe_labels: The probe's labels: (N,), or (N, K) for several labels, or (N, H, W) for masks.
        ema_probe_logits: Outputs of an exponential moving average of the weights, updated after every step, that
            forgets within 5 epochs (decay 1 − 1 / (5 · steps_per_epoch)), shape (T, N, K).
        swa_probe_logits: Outputs of the plain mean of the weights at the ends of the later half of the epochs so far
            (epochs ⌊t/2⌋ + 1 … t at epoch t), shape (T, N, K). Statistics of batch norms are averaged like weights.
        train_logits: Outputs in eval mode for a fixed subset of the training samples, shape (T, ≤ 256, K).
        train_labels: Its labels as given, (≤ 256, …); these are the first ones of the training set.
        train_true: Its correct labels.
        train_predictions: Classes predicted while training, shape (T, n), uint8; empty for other kinds and mix-up.
        train_loss: Mean training loss of the epoch as the optimizer saw it, shape (T,).
        train_accuracy: Accuracy on the labels as given, while training (mix-up: the heavier label), shape (T,).
        learning_rate: Rate of the last step of every epoch, shape (T,).
        learning_rates: Rate of every step, shape (steps,).
        weight_norm: Euclidean norm of the weights, shape (T,).
        weight_distance: Their distance from the initial weights, shape (T,).
        weight_step: Their distance from the weights one epoch before, shape (T,).
        val_logits: Outputs for the held-out tenth, shape (T, n_val, K); signals that use it see labels.
        val_clean: Its correct labels.
        val_noisy: Its labels, as wrong as the training labels.
        val_clean_loss: Shape (T,); accuracies likewise.
        val_clean_accuracy: Shape (T,).
        val_noisy_loss: Shape (T,).
        val_noisy_accuracy: Shape (T,).
        hidden_test_loss: Mean cross-entropy (binary for several labels) on the hidden test, shape (T,).
        hidden_test_accuracy: Fraction of correct classes; of samples whose labels are all right; of masks: mean
            intersection over union of the foreground. Shape (T,).
        hidden_ema_test_loss: The same of the averaged weights ``ema``, shape (T,).
        hidden_ema_test_accuracy: Shape (T,).
        hidden_swa_test_loss: The same of the averaged weights ``swa``, shape (T,).
        hidden_swa_test_accuracy: Shape (T,).
        hidden_test_logits: Outputs for the hidden test, shape (T, n_test, K); empty for masks.
        hidden_test_labels: Its labels.
        seconds: Duration of every epoch's training and of its measurements, shape (T, 2).
    """

    task: Task
    seed: int
    perturbations: tuple[str, ...]
    shift: int
    steps_per_epoch: int
    probe_logits: Array
    probe_shifted: Array
    probe_features: Array
    probe_labels: Array
    ema_probe_logits: Array
    swa_probe_logits: Array
    train_logits: Array
    train_labels: Array
    train_true: Array
    train_predictions: Array
    train_loss: Array
    train_accuracy: Array
    learning_rate: Array
    learning_rates: Array
    weight_norm: Array
    weight_distance: Array
    weight_step: Array
    val_logits: Array
    val_clean: Array
    val_noisy: Array
    val_clean_loss: Array
    val_clean_accuracy: Array
    val_noisy_loss: Array
    val_noisy_accuracy: Array
    hidden_test_loss: Array
    hidden_test_accuracy: Array
    hidden_ema_test_loss: Array
    hidden_ema_test_accuracy: Array
    hidden_swa_test_loss: Array
    hidden_swa_test_accuracy: Array
    hidden_test_logits: Array
    hidden_test_labels: Array
    seconds: Array

    @property
    def name(self) -> str:
        """The name of the run's files, without a suffix."""
        return f"{self.task.name}-s{self.seed}"

    @property
    def epochs(self) -> int:
        """The number of epochs T."""
        return len(self.hidden_test_loss)


#: Fields of `RawRun` that are no arrays.
DESCRIPTION = ("task", "seed", "perturbations", "shift", "steps_per_epoch")
ARRAYS = tuple(field.name for field in fields(RawRun) if field.name not in DESCRIPTION)


def task_from(values: dict[str, Any]) -> Task:
    """A task from its fields as JSON gives them, with lists instead of tuples."""
    fields_of_task: dict[str, Any] = {}
    for name, value in values.items():
        fields_of_task[name] = tuple(value) if isinstance(value, list) else value
    return Task(**fields_of_task)


def load(path: Path | str) -> RawRun:
    """Reads a raw file.

    Args:
        path: A file ``<task>-s<seed>.npz`` that `record` wrote.
    """
    with np.load(path) as file:
        description = json.loads(file["description"].tobytes())
        arrays = {name: file[name] for name in ARRAYS}
    return RawRun(
        task=task_from(description["task"]),
        seed=description["seed"],
        perturbations=tuple(description["perturbations"]),
        shift=description["shift"],
        steps_per_epoch=description["steps_per_epoch"],
        **arrays,
    )

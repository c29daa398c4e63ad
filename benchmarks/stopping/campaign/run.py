"""One training run of the second campaign: trains epoch by epoch and measures after each with forward passes alone."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.stopping.campaign.averages import Averages
from benchmarks.stopping.campaign.data import load
from benchmarks.stopping.campaign.erasing import erased
from benchmarks.stopping.campaign.losses import accuracy_of, loss_and_accuracy, loss_of, mixed
from benchmarks.stopping.campaign.networks import build
from benchmarks.stopping.campaign.perturbations import perturbed_probes, shift_size
from benchmarks.stopping.campaign.pretraining import pretrained_body
from benchmarks.stopping.campaign.schedules import rate_factor
from benchmarks.stopping.campaign.task import MIRRORED, Task
from benchmarks.stopping.data import augmented
from benchmarks.stopping.networks import channels_last
from benchmarks.stopping.raw_series import RawSeries

#: Number of training samples whose outputs are recorded, and of samples in a forward pass.
SUBSET = 256
PASS = 256


def make_optimizer(task: Task, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a task."""
    if task.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), task.rate, momentum=0.9, weight_decay=task.weight_decay)
    if task.optimizer == "nesterov":
        return torch.optim.SGD(model.parameters(), task.rate, 0.9, weight_decay=task.weight_decay, nesterov=True)
    if task.optimizer == "rmsprop":
        return torch.optim.RMSprop(model.parameters(), task.rate, weight_decay=task.weight_decay)
    return torch.optim.AdamW(model.parameters(), task.rate, weight_decay=task.weight_decay)


def ready(batch: Tensor) -> Tensor:
    """Images in the memory format that is fastest on a CPU; other samples unchanged."""
    return channels_last(batch) if batch.ndim == 4 else batch


@torch.no_grad()
def outputs(model: Any, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and penultimate features of a model in eval mode; features of pixels are averaged."""
    logits, features = [], []
    for batch in samples.split(PASS):
        found = model.body(ready(batch))
        logits.append(model.head(found))
        features.append(found.mean((2, 3)) if found.ndim == 4 else found)
    return torch.cat(logits), torch.cat(features)


class Run:
    """One training run and its measurements.

    Args:
        task: What to train.
        seed: Seed of data, weights and order.
        folder: Folder of the data sets.
        cache: Folder of pretrained weights.

    Attributes:
        model: The network.
        parts: The samples and labels.
        series: What has been recorded so far.
        probes: The perturbed probes.
        averages: The averaged weights.
        steps_per_epoch: Optimizer steps in an epoch.
        rates: The learning rate of every step so far.
    """

    def __init__(self, task: Task, seed: int, folder: Path, cache: Path) -> None:
        self.task = task
        self.parts = load(folder, task, seed)
        self.model = build(task.net, tuple(self.parts.train_x.shape[1:]), self.parts.classes, task.dropout, seed)
        if task.pretrained:
            self.model.body.load_state_dict(pretrained_body(folder, cache, task))
        torch.manual_seed(seed)  # dropout draws the same numbers whether or not the weights were pretrained just now
        self.optimizer = make_optimizer(task, self.model)
        self.generator = torch.Generator().manual_seed(seed)
        self.mixing = np.random.default_rng(seed)
        self.series = RawSeries()
        self.probes = perturbed_probes(self.parts.probe_x)
        self.shift = 0 if self.parts.probe_x.ndim == 2 else shift_size(self.parts.probe_x)
        self.steps_per_epoch = math.ceil(len(self.parts.train_x) / task.batch)
        self.averages = Averages(self.model, self.steps_per_epoch)
        self.rates: list[float] = []
        self._first_weights = self._weights()
        self._last_weights = self._first_weights

    def _weights(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self.model.parameters()])

    def train_epoch(self) -> None:
        """Trains one epoch."""
        start = time.perf_counter()
        n = len(self.parts.train_x)
        losses = accuracies = 0.0
        predictions = torch.zeros(n, dtype=torch.uint8)
        self.model.train()
        for index in torch.randperm(n, generator=self.generator).split(self.task.batch):
            logits, loss, accuracy = self._train_step(index)
            losses += loss * len(index) / n
            accuracies += accuracy * len(index) / n
            if logits.ndim == 2:
                predictions[index] = logits.argmax(1).to(torch.uint8)
        weights = self._weights()
        self.series.add_scalars(
            train_loss=losses,
            train_accuracy=accuracies,
            learning_rate=self.rates[-1],
            weight_norm=float(weights.norm()),
            weight_distance=float((weights - self._first_weights).norm()),
            weight_step=float((weights - self._last_weights).norm()),
            train_seconds=time.perf_counter() - start,
        )
        self._last_weights = weights
        if self.task.kind == "classes" and not self.task.mixup:
            self.series.add_array("train_predictions", predictions, np.uint8)

    def _train_step(self, index: Tensor) -> tuple[Tensor, float, float]:
        task = self.task
        x, labels = self.parts.train_x[index], self.parts.train_y[index]
        if task.augment:
            x = augmented(x, task.dataset in MIRRORED, self.generator, reach=max(1, x.shape[-1] // 8))
        if task.erase:
            x = erased(x, self.generator)
        rate = task.rate * rate_factor(task, len(self.rates), self.steps_per_epoch)
        self.rates.append(rate)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if task.mixup:
            weight = float(self.mixing.beta(task.mixup, task.mixup))
            weight = max(weight, 1 - weight)
            x, labels, others = mixed(x, labels, weight, torch.randperm(len(x), generator=self.generator))
            logits = self.model(ready(x))
            loss = weight * loss_of(logits, labels, task.smoothing)
            loss = loss + (1 - weight) * loss_of(logits, others, task.smoothing)
        else:
            logits = self.model(ready(x))
            loss = loss_of(logits, labels, task.smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.averages.after_step()
        logits = logits.detach()
        return logits, float(loss.detach()), accuracy_of(logits, labels)

    def measure(self) -> None:
        """Measures at the end of an epoch; the training continues as without it."""
        start = time.perf_counter()
        parts = self.parts
        series = self.series
        self.model.eval()
        logits, features = outputs(self.model, parts.probe_x)
        series.add_array("probe_logits", logits)
        series.add_array("probe_features", features)
        shifted = [probe.aligned(outputs(self.model, probe.inputs)[0]) for probe in self.probes]
        series.add_array("probe_shifted", torch.stack(shifted))
        series.add_array("train_logits", outputs(self.model, parts.train_x[:SUBSET])[0])
        held_out = outputs(self.model, parts.val_x)[0]
        series.add_array("val_logits", held_out)
        for name, labels in (("clean", parts.val_clean), ("noisy", parts.val_noisy)):
            loss, accuracy = loss_and_accuracy(held_out, labels)
            series.add_scalars(**{f"val_{name}_loss": loss, f"val_{name}_accuracy": accuracy})
        self._measure_hidden("test", self.model)
        for name, model in self.averages.after_epoch(self.model).items():
            series.add_array(f"{name}_probe_logits", outputs(model, parts.probe_x)[0])
            self._measure_hidden(f"{name}_test", model)
        self.model.train()
        series.add_scalars(measure_seconds=time.perf_counter() - start)

    def _measure_hidden(self, name: str, model: nn.Module) -> None:
        logits = outputs(model, self.parts.test_x)[0]
        loss, accuracy = loss_and_accuracy(logits, self.parts.test_y)
        self.series.add_scalars(**{f"hidden_{name}_loss": loss, f"hidden_{name}_accuracy": accuracy})
        if name == "test" and logits.ndim == 2:
            self.series.add_array("hidden_test_logits", logits)

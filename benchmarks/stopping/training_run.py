"""One training run of the study: trains epoch by epoch and measures after each everything that a rule may use."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.stopping.data import augmented, load
from benchmarks.stopping.epoch_measurements import (
    gradient_signals,
    lens_numbers,
    loss_and_accuracy,
    outputs,
    transformed_logits,
)
from benchmarks.stopping.folding import fold_views
from benchmarks.stopping.networks import build, channels_last
from benchmarks.stopping.raw_series import RawSeries
from benchmarks.stopping.signals.mixup import mixed_images
from benchmarks.stopping.signals.supervised.gradient_alignment import gradient_weight_alignments
from benchmarks.stopping.signals.transforms import Translate
from benchmarks.stopping.tasks import Task
from benchmarks.stopping.transforms import probe_transforms, training_transforms
from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.measurements import Measurement, default_measurements

#: Number of training images whose outputs and gradients are recorded.
SUBSET = 256
#: Size and number of the batches whose gradients are compared.
SMALL_BATCH = 32
SMALL_BATCHES = 5
RANKS = (1, 2, 4, 8, 16)
#: Ranks whose factors are recorded.
FOLD_RANKS = (8, 16)
MAX_NEURONS = 512
#: Weight of the old average in the moving average of the weights, per epoch.
WEIGHT_MOMENTUM = 0.8
#: Pixels of the two diagonal shifts of the recorded features, by data set.
SHIFT_PIXELS = {"mnist": 1, "cifar10": 2}


def rate_factor(task: Task, step: int, steps: int) -> float:
    """The learning rate at a step of the run, as a fraction of the first."""
    if task.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * step / steps))
    if task.schedule == "step":
        if step < 0.5 * steps:
            return 1.0
        return 0.1 if step < 0.75 * steps else 0.01
    return 1.0


def make_optimizer(task: Task, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a task."""
    if task.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), task.rate, momentum=0.9, weight_decay=task.weight_decay)
    return torch.optim.AdamW(model.parameters(), task.rate, weight_decay=task.weight_decay)


def lens_measurements() -> list[Measurement]:
    """The default measurements without consistency, which the study computes from the recorded outputs."""
    return [measurement for measurement in default_measurements() if measurement.name != "consistency"]


class Run:
    """One training run and its measurements.

    Args:
        task: What to train.
        seed: Seed of data, weights and order.
        folder: Folder of the data sets.

    Attributes:
        model: The network.
        parts: The images and labels.
        series: What has been recorded so far.
        transforms: Names of the transforms of the probe, known after the first measurement.
        partner: For each probe image the one it is mixed with, known after the first measurement.
        lens: The lens.
        shifts: The two shifts of the recorded features, by name.
    """

    def __init__(self, task: Task, seed: int, folder: Path) -> None:
        self.task = task
        self.parts = load(folder, task, seed)
        self.model = build(task.net, tuple(self.parts.train_x.shape[1:]), task.dropout, seed)  # type: ignore[arg-type]
        self.optimizer = make_optimizer(task, self.model)
        self.generator = torch.Generator().manual_seed(seed)
        self.series = RawSeries()
        self.transforms: list[str] = []
        self.partner = np.zeros(0, dtype=np.int16)
        self.lens = FactorLens(
            self.model,
            LensOptions(ranks=RANKS, max_neurons_per_layer=MAX_NEURONS),
            lens_measurements(),
            outputs="classes",
        )
        pixels = SHIFT_PIXELS[task.dataset]
        self.shifts = {"plus": Translate(pixels, pixels), "minus": Translate(-pixels, -pixels)}
        self.subset_x = self.parts.train_x[:SUBSET]
        self.subset_y = self.parts.train_y[:SUBSET]
        self._step = 0
        self._average: dict[str, Tensor] | None = None
        self._first_weights = self._weights()
        self._last_weights = self._first_weights
        self._last_move = torch.zeros_like(self._first_weights)

    def train_epoch(self) -> None:
        """Trains one epoch; the classes predicted while training are recorded, as Label Wave needs them."""
        parts = self.parts
        task = self.task
        n = len(parts.train_y)
        predictions = torch.empty(n, dtype=torch.uint8)
        losses = torch.empty(n)
        steps = math.ceil(n / task.batch) * task.epochs
        self.model.train()
        for index in torch.randperm(n, generator=self.generator).split(task.batch):
            if len(index) == 1:  # a batch norm has no statistics of one image
                predictions[index] = parts.train_y[index].to(torch.uint8)
                losses[index] = 0.0
                continue
            x = parts.train_x[index]
            if task.augment:
                x = augmented(x, task.dataset == "cifar10", self.generator)
            rate = task.rate * rate_factor(task, self._step, steps)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            logits = self.model(channels_last(x))
            loss = nn.functional.cross_entropy(logits, parts.train_y[index], reduction="none")
            self.optimizer.zero_grad()
            loss.mean().backward()
            self.optimizer.step()
            self._step += 1
            predictions[index] = logits.detach().argmax(1).to(torch.uint8)
            losses[index] = loss.detach()
        accuracy = float((predictions == parts.train_y).double().mean())
        self.series.add_scalars(train_loss=float(losses.mean()), train_accuracy=accuracy, learning_rate=rate)
        self.series.add_array("train_predictions", predictions, np.uint8)
        self._update_average()
        self._record_weight_move()

    def measure(self) -> None:
        """Measures at the end of an epoch: first what is hidden from rules, then what rules may use."""
        parts = self.parts
        loss, accuracy = loss_and_accuracy(outputs(self.model, parts.test_x)[0], parts.test_y)
        self.series.add_scalars(test_loss=loss, test_accuracy=accuracy)
        held_out = outputs(self.model, parts.val_x)[0]
        for name, labels in (("clean", parts.val_clean), ("noisy", parts.val_noisy)):
            loss, accuracy = loss_and_accuracy(held_out, labels)
            self.series.add_scalars(**{f"val_{name}_loss": loss, f"val_{name}_accuracy": accuracy})
        for name, measure in (
            ("probe", self._measure_probe),
            ("lens", self._measure_factors),
            ("label", self._measure_training_images),
        ):
            start = time.perf_counter()
            measure()
            self.series.add_scalars(**{f"{name}_seconds": time.perf_counter() - start})

    def _weights(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self.model.parameters()])

    def _record_weight_move(self) -> None:
        """Records how far the epoch moved the weights, and in which direction relative to the epoch before."""
        weights = self._weights()
        move = weights - self._last_weights
        cosine = float(nn.functional.cosine_similarity(move, self._last_move, dim=0))
        self._last_move = move
        self._last_weights = weights
        self.series.add_scalars(
            weight_norm=float(weights.norm()),
            weight_distance=float((weights - self._first_weights).norm()),
            weight_step=float(move.norm()),
            weight_turn=cosine,
        )

    def _update_average(self) -> None:
        state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        if self._average is None:
            self._average = state
        for name, value in self._average.items():
            if value.is_floating_point():
                value.mul_(WEIGHT_MOMENTUM).add_(state[name], alpha=1 - WEIGHT_MOMENTUM)
            else:
                value.copy_(state[name])

    def _measure_probe(self) -> None:
        assert self._average is not None
        probe = self.parts.probe
        transforms = probe_transforms(self.model, self._average)
        self.transforms = [*transforms, "mix"]
        logits = transformed_logits(self.model, probe, transforms.values())
        mixed, partner = mixed_images(probe)
        self.partner = partner.numpy()
        mixed_logits = outputs(self.model, mixed)[0]
        self.series.add_array("probe_logits", torch.cat([logits, mixed_logits[None]]))
        self.series.add_array("fresh_logits", outputs(self.model, self.parts.fresh)[0])

    def _measure_factors(self) -> None:
        probe = self.parts.probe
        series = self.series
        observation = self.lens.observe(probe, epoch=len(series.scalars["train_loss"]))
        series.add_scalars(lens=lens_numbers(observation))
        factorization = observation.factorization
        assert factorization is not None
        views = {"probe": probe, **{name: shift.images(probe) for name, shift in self.shifts.items()}}
        folded = fold_views(self.lens, factorization, {**views, "fresh": self.parts.fresh}, FOLD_RANKS)
        series.add_array("probe_features", torch.stack([folded.features[view] for view in views]))
        for rank in FOLD_RANKS:
            series.add_array(f"F_{rank}", factorization.F[RANKS.index(rank)])
            series.add_array(f"F_{rank}_folded", torch.stack([folded.F[rank, view] for view in views]))
        series.add_scalars(fold_errors=folded.errors)

    def _measure_training_images(self) -> None:
        series = self.series
        x = self.subset_x
        y = self.subset_y
        logits, features = outputs(self.model, x)
        shifted = transformed_logits(self.model, x, list(training_transforms().values())[1:])
        alignments = gradient_weight_alignments(logits, y, features, self.model.head.weight.detach())
        series.add_array("train_logits", torch.cat([logits[None], shifted]))
        series.add_array("train_features", features)
        series.add_array("train_alignment", alignments)
        n = SMALL_BATCH * SMALL_BATCHES
        series.add_scalars(gradients=gradient_signals(self.model, x[:n], y[:n], SMALL_BATCH))

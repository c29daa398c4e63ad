"""One training run and its looks: trains an epoch, then measures whatever a label-free stop could look at."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.stopping.data import augmented, load
from benchmarks.stopping.epoch_measurements import (
    fast,
    folded,
    gradient_signals,
    lens_numbers,
    loss_and_accuracy,
    outputs,
    under,
)
from benchmarks.stopping.networks import build
from benchmarks.stopping.signals.mixup import mixed_images
from benchmarks.stopping.signals.supervised.gradient_alignment import gradient_weight_alignments
from benchmarks.stopping.signals.transforms import Translate
from benchmarks.stopping.tasks import Task
from benchmarks.stopping.transforms import ladder, train_ladder
from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.measurements import Measurement, default_measurements

#: Training images whose outputs and gradients are kept.
SUBSET, SMALL_BATCH, SMALL_BATCHES = 256, 32, 5
RANKS, FOLD_RANKS, FEATURES = (1, 2, 4, 8, 16), (8, 16), 512
#: Share of the old average that the moving average of the weights keeps, an epoch.
MEMORY = 0.8


@dataclass
class Series:
    """What a record collects: scalars by name, arrays by name, one entry an epoch."""

    scalars: dict[str, list[Any]] = field(default_factory=dict)
    arrays: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def scalar(self, **values: Any) -> None:
        """Appends one epoch's scalars (or short lists)."""
        for name, value in values.items():
            self.scalars.setdefault(name, []).append(value)

    def array(self, name: str, value: Tensor, dtype: type = np.float16) -> None:
        """Appends one epoch's array."""
        self.arrays.setdefault(name, []).append(value.detach().numpy().astype(dtype))


def factor(task: Task, step: int, steps: int) -> float:
    """The learning rate at a step of the run, as a share of the first."""
    if task.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * step / steps))
    if task.schedule == "step":
        return 1.0 if step < 0.5 * steps else 0.1 if step < 0.75 * steps else 0.01
    return 1.0


def optimizer(task: Task, model: nn.Module) -> torch.optim.Optimizer:
    """The task's optimizer."""
    if task.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), task.rate, momentum=0.9, weight_decay=task.weight_decay)
    return torch.optim.AdamW(model.parameters(), task.rate, weight_decay=task.weight_decay)


def lens_measurements() -> list[Measurement]:
    """The measurements of the lens but consistency, which the study computes from the recorded outputs."""
    return [measurement for measurement in default_measurements() if measurement.name != "consistency"]


class Run:
    """One training run with its looks.

    Args:
        task: What to train.
        seed: Of data, weights and order.
        folder: The datasets.
    """

    def __init__(self, task: Task, seed: int, folder: Path) -> None:
        self.task, self.parts = task, load(folder, task, seed)
        self.model = build(task.net, tuple(self.parts.train_x.shape[1:]), task.dropout, seed)  # type: ignore[arg-type]
        self.optimizer = optimizer(task, self.model)
        self.generator = torch.Generator().manual_seed(seed)
        self.average: dict[str, Tensor] | None = None
        self.first = self.last = self._weights()
        self.moved = torch.zeros_like(self.first)
        self.series, self.step = Series(), 0
        self.ladder: list[str] = []
        self.partner = np.zeros(0, dtype=np.int16)
        self.lens = FactorLens(
            self.model, LensOptions(ranks=RANKS, max_neurons_per_layer=FEATURES), lens_measurements()
        )
        pixels = {"mnist": 1, "cifar10": 2}[task.dataset]
        self.shifts = {"plus": Translate(pixels, pixels), "minus": Translate(-pixels, -pixels)}
        self.subset_x, self.subset_y = self.parts.train_x[:SUBSET], self.parts.train_y[:SUBSET]

    def train_epoch(self) -> None:
        """One pass over the training images; what the net answered on the way is kept (Label Wave reads it)."""
        p, task = self.parts, self.task
        n = len(p.train_y)
        answers, losses = torch.empty(n, dtype=torch.uint8), torch.empty(n)
        per_epoch = math.ceil(n / task.batch)
        self.model.train()
        for index in torch.randperm(n, generator=self.generator).split(task.batch):
            if len(index) == 1:  # a batch norm has no statistics of one image
                answers[index], losses[index] = self.parts.train_y[index].to(torch.uint8), 0.0
                continue
            x, y = p.train_x[index], p.train_y[index]
            if task.augment:
                x = augmented(x, task.dataset == "cifar10", self.generator)
            rate = task.rate * factor(task, self.step, per_epoch * task.epochs)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            logits = self.model(fast(x))
            loss = nn.functional.cross_entropy(logits, y, reduction="none")
            self.optimizer.zero_grad()
            loss.mean().backward()
            self.optimizer.step()
            self.step += 1
            answers[index], losses[index] = logits.detach().argmax(1).to(torch.uint8), loss.detach()
        right = float((answers == p.train_y).double().mean())
        self.series.scalar(train_loss=float(losses.mean()), train_accuracy=right, learning_rate=rate)
        self.series.array("train_predictions", answers, np.uint8)
        self._average()
        self._weights_moved()

    def _weights(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self.model.parameters()])

    def _weights_moved(self) -> None:
        """How far the epoch has moved the weights, and whether onwards or back: needs neither labels nor a probe."""
        now, before = self._weights(), self.moved
        self.moved, self.last = now - self.last, now
        cosine = float(nn.functional.cosine_similarity(self.moved, before, dim=0))
        self.series.scalar(
            weight_norm=float(now.norm()),
            weight_distance=float((now - self.first).norm()),
            weight_step=float(self.moved.norm()),
            weight_turn=cosine,
        )

    def _average(self) -> None:
        state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        if self.average is None:
            self.average = state
        for name, value in self.average.items():
            if value.is_floating_point():
                value.mul_(MEMORY).add_(state[name], alpha=1 - MEMORY)
            else:
                value.copy_(state[name])

    def look(self) -> None:
        """The end of an epoch: labels hidden from rules first, then what rules may see."""
        p, s = self.parts, self.series
        loss, accuracy = loss_and_accuracy(outputs(self.model, p.test_x)[0], p.test_y)
        s.scalar(test_loss=loss, test_accuracy=accuracy)
        held_out = outputs(self.model, p.val_x)[0]
        for name, labels in (("clean", p.val_clean), ("noisy", p.val_noisy)):
            loss, accuracy = loss_and_accuracy(held_out, labels)
            s.scalar(**{f"val_{name}_loss": loss, f"val_{name}_accuracy": accuracy})
        start = time.perf_counter()
        self._probe()
        middle = time.perf_counter()
        self._factors()
        end = time.perf_counter()
        self._training_images()
        s.scalar(probe_seconds=middle - start, lens_seconds=end - middle, label_seconds=time.perf_counter() - end)

    def _probe(self) -> None:
        assert self.average is not None
        probe, rungs = self.parts.probe, ladder(self.model, self.average)
        self.ladder = [*rungs, "mix"]
        logits = under(self.model, probe, rungs.values())
        mixed, partner = mixed_images(probe)
        self.partner = partner.numpy()
        self.series.array("probe_logits", torch.cat([logits, outputs(self.model, mixed)[0][None]]))
        self.series.array("fresh_logits", outputs(self.model, self.parts.fresh)[0])

    def _factors(self) -> None:
        probe, s = self.parts.probe, self.series
        seen = self.lens.observe(probe, epoch=len(s.scalars["train_loss"]))
        s.scalar(lens=lens_numbers(seen))
        result = seen.factorization
        assert result is not None
        views = {"probe": probe, **{name: shift.images(probe) for name, shift in self.shifts.items()}}
        found = folded(self.lens, result, {**views, "fresh": self.parts.fresh}, FOLD_RANKS)
        s.array("probe_features", torch.stack([found.features[view] for view in views]))
        for rank in FOLD_RANKS:
            s.array(f"F_{rank}", result.F[RANKS.index(rank)])
            s.array(f"F_{rank}_folded", torch.stack([found.F[rank, view] for view in views]))
        s.scalar(fold_errors=found.errors)

    def _training_images(self) -> None:
        s, x, y = self.series, self.subset_x, self.subset_y
        logits, features = outputs(self.model, x)
        shifted = under(self.model, x, list(train_ladder().values())[1:])
        s.array("train_logits", torch.cat([logits[None], shifted]))
        s.array("train_features", features)
        s.array("train_alignment", gradient_weight_alignments(logits, y, features, self.model.head.weight.detach()))
        n = SMALL_BATCH * SMALL_BATCHES
        s.scalar(gradients=gradient_signals(self.model, x[:n], y[:n], SMALL_BATCH))

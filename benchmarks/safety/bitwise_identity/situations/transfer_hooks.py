"""Batch-transfer and validation hooks that draw, count, swap weights, or ask what the Trainer is doing."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.safety.bitwise_identity.situations.base import Classifier, Situation, trains
from benchmarks.safety.bitwise_identity.situations.data import CLASSES


class Guarded(Classifier):
    """Augments training batches alone, as in Lightning's documentation."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Scales every image."""
        if self.trainer.training:
            return batch[0] * torch.rand(len(batch[0]), 1, 1, 1), batch[1]
        return batch


class Unguarded(Classifier):
    """Augments every batch by draws from the global generators."""

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Scales the batch."""
        return batch[0] * (1 + 0.1 * random.random() + 0.1 * np.random.rand()), batch[1]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Adds noise."""
        return batch[0] + 0.01 * torch.randn_like(batch[0]), batch[1]


class OwnGenerator(Classifier):
    """Augments every batch by draws from generators of the module."""

    def __init__(self) -> None:
        super().__init__()
        self.generators = [np.random.default_rng(0), random.Random(0)]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Scales the batch."""
        scale = 1 + sum(0.1 * generator.random() for generator in self.generators)  # type: ignore[attr-defined]
        return batch[0] * scale, batch[1]


class Mixing(Classifier):
    """Mixes images and labels of training batches; the labels are soft then."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Mixes the batch with its reverse."""
        x, y = batch
        y = nn.functional.one_hot(y, CLASSES).float()
        if not self.trainer.training:
            return x, y
        weight = float(torch.distributions.Beta(0.4, 0.4).sample())
        return weight * x + (1 - weight) * x.flip(0), weight * y + (1 - weight) * y.flip(0)


class Cropping(Classifier):
    """Crops training images, which then have another size than the validation images."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Crops at a random place."""
        if not self.trainer.training:
            return batch
        top = int(torch.randint(3, ()))
        return batch[0][..., top : top + 6, top : top + 6], batch[1]


class Counting(Classifier):
    """Counts the batches that were transferred, and normalises by a running mean of all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.n_transferred = 0
        self.means: list[float] = []

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Counts."""
        self.n_transferred += 1
        self.means.append(float(batch[0].mean()))
        x, y = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return x - sum(self.means) / self.n_transferred, y


class ScheduleFree(Classifier):
    """Validates with averaged weights, which its hooks swap with those of training."""

    def __init__(self) -> None:
        super().__init__()
        self.average = [p.detach().clone() for p in self.net.parameters()]
        self.n_swaps = 0

    def on_train_batch_end(self, *_: Any) -> None:
        """Averages."""
        for mean, parameter in zip(self.average, self.net.parameters()):
            mean.lerp_(parameter.detach(), 0.2)

    def _swap(self) -> None:
        self.n_swaps += 1
        for mean, parameter in zip(self.average, self.net.parameters()):
            kept = parameter.detach().clone()
            parameter.data.copy_(mean)
            mean.copy_(kept)

    def on_validation_model_eval(self) -> None:
        """Swaps the averaged weights in."""
        super().on_validation_model_eval()
        self._swap()

    def on_validation_model_train(self) -> None:
        """Swaps the weights of training in."""
        super().on_validation_model_train()
        self._swap()


class PartlyEval(Classifier):
    """Keeps its first layers in eval mode in training too, by an override of ``train``, and counts the calls."""

    n_calls = 0

    def train(self, mode: bool = True) -> PartlyEval:
        """Sets the mode of all but the first layers."""
        self.n_calls += 1
        super().train(mode)
        if isinstance(self.net, nn.Sequential):
            self.net[1].eval()
        return self


class AsksForTheStage(Classifier):
    """Its forward pass adds noise while the Trainer trains, whatever the module's mode."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        if self._trainer is not None and self.trainer.training:
            x = x + 0.1 * torch.randn_like(x)
        return self.net(x)


SITUATIONS = tuple(
    Situation("hook", name, trains(module), lens)
    for name, module, lens in (
        ("augmentation guarded by trainer.training", Guarded, {}),
        ("augmentation guarded, probe drawn anew for every observation", Guarded, {"resample_probe": True}),
        ("augmentation that is not guarded", Unguarded, {}),
        ("augmentation by generators of the module", OwnGenerator, {}),
        ("MixUp with labels", Mixing, {}),
        ("crops of training images", Cropping, {}),
        ("transfer that counts", Counting, {}),
        ("on_validation_model_eval swaps weights", ScheduleFree, {}),
        ("on_validation_model_eval swaps weights, observed every 2 steps", ScheduleFree, {"every_n_train_steps": 2}),
        ("train() overridden", PartlyEval, {}),
        ("forward asks for the Trainer's stage", AsksForTheStage, {}),
    )
)

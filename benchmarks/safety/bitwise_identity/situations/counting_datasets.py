"""Datasets and data modules that count, cache, replay or change in the course of training."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.safety.bitwise_identity.situations.base import Situation, Training
from benchmarks.safety.bitwise_identity.situations.data import N_TRAIN, N_VALIDATION, Images, split
from benchmarks.safety.bitwise_identity.situations.stateful_datasets import OwnGenerator, Transformed, shared

N = N_TRAIN + N_VALIDATION


class Counting(Images):
    """Counts what it served, keeps samples in a cache, and makes samples brighter the more it has served."""

    def __init__(self) -> None:
        super().__init__(N)
        self.served = 0
        self.cache: dict[int, Any] = {}

    def __getitem__(self, i: int) -> Any:
        self.served += 1
        if i not in self.cache:
            self.cache[i] = (self.x[i] + 0.001 * self.served, self.y[i])
        return self.cache[i]


class LRUCached(Images):
    """Its loading function keeps the last samples in a `functools.lru_cache`."""

    def __init__(self) -> None:
        super().__init__(N)
        self.load = functools.lru_cache(maxsize=5)(lambda i: (self.x[i], self.y[i]))

    def __getitem__(self, i: int) -> Any:
        return self.load(i)


class Replaying(Images):
    """Takes its noise from a Python generator, which can be neither copied nor pickled."""

    def __init__(self) -> None:
        super().__init__(N)
        self.noise = self._noise()

    def _noise(self) -> Iterator[float]:
        value = 0.0
        while True:
            value = (value + 0.37) % 1
            yield value

    def __getitem__(self, i: int) -> Any:
        return self.x[i] * next(self.noise), self.y[i]


class Curriculum(Callback):
    """Makes the samples of a dataset harder after every epoch, through a tensor in shared memory."""

    def __init__(self, difficulty: Tensor) -> None:
        self.difficulty = difficulty

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises the difficulty."""
        self.difficulty += 0.2


def curriculum(_: Path) -> Training:
    """Workers see the difficulty that the main process sets."""
    difficulty = torch.zeros(()).share_memory_()
    loaders = split(Transformed(lambda x: x * (1 - difficulty)), num_workers=1, multiprocessing_context="fork")
    return Training(train=loaders[0], validation=loaders[1], callbacks=[Curriculum(difficulty)], objects=difficulty)


class Splitting(LightningDataModule):
    """Makes its loaders anew for every epoch, over one dataset, and counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.dataset = OwnGenerator(np.random.default_rng(0))
        self.asked = {"train": 0, "validation": 0}

    def train_dataloader(self) -> DataLoader[Any]:
        """The loader for training."""
        self.asked["train"] += 1
        return split(self.dataset)[0]

    def val_dataloader(self) -> DataLoader[Any]:
        """The loader for validation."""
        self.asked["validation"] += 1
        return split(self.dataset)[1]


def reloaded(_: Path) -> Training:
    """A data module that is asked for its loaders at every epoch."""
    return Training(train=Splitting(), validation=None, trainer={"reload_dataloaders_every_n_epochs": 1})


SITUATIONS = tuple(
    Situation("dataset", name, make, options)
    for name, make, options in (
        ("counts and caches its samples", shared(Counting), {}),
        ("counts and caches, probe drawn anew for every observation", shared(Counting), {"resample_probe": True}),
        ("functools.lru_cache", shared(LRUCached), {}),
        ("replays a Python generator", shared(Replaying), {}),
        ("curriculum in shared memory, a worker", curriculum, {}),
        ("data module that is asked at every epoch", reloaded, {}),
        ("data module, probe drawn anew for every observation", reloaded, {"resample_probe": True}),
    )
)

"""Samplers with a state: generators, epochs, and ones that never end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader, Sampler, SubsetRandomSampler, WeightedRandomSampler

from benchmarks.safety.bitwise_identity.situations.base import Situation, Training, training_loader
from benchmarks.safety.bitwise_identity.situations.data import BATCH_SIZE, N_VALIDATION, Images


class OwnOrder(Sampler[int]):
    """Shuffles with a generator of its own."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def __len__(self) -> int:
        return N_VALIDATION

    def __iter__(self) -> Iterator[int]:
        yield from self.generator.permutation(N_VALIDATION).tolist()


class RandomBatches(Sampler[list[int]]):
    """A batch sampler whose batches have random sizes, drawn from its own generator."""

    def __init__(self) -> None:
        self.random = random.Random(0)
        self.n_batches = 0

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(len(self)):
            self.n_batches += 1
            yield self.random.sample(range(N_VALIDATION), self.random.randint(4, BATCH_SIZE))


class Endless(Sampler[int]):
    """Never ends and has no length, as samplers for training by steps; a second iterator goes on."""

    def __init__(self) -> None:
        self.position = 0

    def __iter__(self) -> Iterator[int]:
        while True:
            yield self.position % N_VALIDATION
            self.position += 1


class EpochOrder(Sampler[int]):
    """Its order depends on the epoch that it was told, and on how often it was iterated over."""

    def __init__(self) -> None:
        self.epoch = 0
        self.n_iterations = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return N_VALIDATION

    def __iter__(self) -> Iterator[int]:
        self.n_iterations += 1
        generator = torch.Generator().manual_seed(100 * self.epoch + self.n_iterations)
        yield from torch.randperm(N_VALIDATION, generator=generator).tolist()


class SharedPositions(Callback):
    """Draws a number from the order of a sampler at every batch, as active learning does."""

    def __init__(self, sampler: OwnOrder) -> None:
        self.sampler = sampler
        self.drawn: list[int] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Draws."""
        self.drawn.append(int(self.sampler.generator.integers(100)))


def validated(sampler: Callable[[], Any], **options: Any) -> Callable[[Path], Training]:
    """Validation with a sampler."""

    def make(_: Path) -> Training:
        return Training(validation=DataLoader(Images(N_VALIDATION), BATCH_SIZE, sampler=sampler()), **options)

    return make


def batch_sampler(_: Path) -> Training:
    """Validation with a batch sampler."""
    return Training(validation=DataLoader(Images(N_VALIDATION), batch_sampler=RandomBatches()))


def shared_sampler(_: Path) -> Training:
    """Training, validation and a callback draw from the generator of one sampler."""
    sampler = OwnOrder()
    positions = SharedPositions(sampler)
    train = DataLoader(Images(), BATCH_SIZE, sampler=sampler)
    validation = DataLoader(Images(N_VALIDATION, seed=1), BATCH_SIZE, sampler=sampler)
    return Training(train=train, validation=validation, callbacks=[positions], objects=positions.drawn)


def weighted(generator: torch.Generator | None) -> WeightedRandomSampler:
    """Draws with replacement."""
    return WeightedRandomSampler(torch.linspace(0.1, 1, N_VALIDATION), N_VALIDATION, generator=generator)  # type: ignore[arg-type]


def shuffled(_: Path) -> Training:
    """A shuffled validation loader, which draws from torch's global generator."""
    return Training(train=training_loader(), validation=DataLoader(Images(N_VALIDATION), BATCH_SIZE, shuffle=True))


SITUATIONS = tuple(
    Situation("sampler", name, make)
    for name, make in (
        ("SubsetRandomSampler", validated(lambda: SubsetRandomSampler(range(2, 14)))),
        ("WeightedRandomSampler", validated(lambda: weighted(None))),
        ("WeightedRandomSampler with its own generator", validated(lambda: weighted(torch.Generator().manual_seed(0)))),
        ("own generator", validated(OwnOrder)),
        ("own generator, shared by training, validation and a callback", shared_sampler),
        ("batch sampler with its own generator", batch_sampler),
        ("endless, limit_val_batches", validated(Endless, trainer={"limit_val_batches": 2})),
        ("order of the epoch and the iteration", validated(EpochOrder)),
        ("shuffled validation", shuffled),
    )
)

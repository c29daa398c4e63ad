"""Loaders that yield finished batches, loaders that are no DataLoader, several loaders, and loaders with a state."""

from __future__ import annotations

from collections import UserList
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, SequentialSampler

from benchmarks.safety.bitwise_identity.situations.base import Situation, Training, training_loader
from benchmarks.safety.bitwise_identity.situations.data import BATCH_SIZE, N_VALIDATION, Images, random_images
from benchmarks.safety.bitwise_identity.situations.stateful_datasets import OwnGenerator


def batches() -> list[Any]:
    """The validation images in batches."""
    x, y = random_images(N_VALIDATION, seed=1)
    return list(zip(x.split(BATCH_SIZE), y.split(BATCH_SIZE)))


class BatchesByIndex(Dataset[Any]):
    """A dataset whose samples are batches, brighter the more it has served."""

    def __init__(self) -> None:
        self.batches = batches()
        self.served = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> Any:
        self.served += 1
        x, y = self.batches[i]
        return x + 0.01 * self.served, y


class BatchStream(IterableDataset[Any]):
    """A stream of batches, as WebDataset makes it, with a generator for its order."""

    def __init__(self) -> None:
        self.batches = batches()
        self.generator = np.random.default_rng(0)

    def __iter__(self) -> Iterator[Any]:
        for i in self.generator.permutation(len(self.batches)):
            yield self.batches[i]


class ManyAtOnce(Images):
    """A dataset that is indexed with a list."""

    def __getitem__(self, i: Any) -> Any:
        assert isinstance(i, list)
        return self.x[i], self.y[i]


class Pipeline:
    """Iterates over batches and is its own iterator, as DALI's is; it cannot be pickled or copied."""

    def __init__(self) -> None:
        self.batches = batches()
        self.position = 0
        self.n_epochs = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.position == len(self.batches):
            self.position = 0
            self.n_epochs += 1
            raise StopIteration
        x, y = self.batches[self.position]
        self.position += 1
        return x + 0.01 * self.n_epochs, y

    def __reduce__(self) -> Any:
        raise TypeError("a pipeline of another library cannot be pickled")


class CountingLoader(DataLoader[Any]):
    """A loader of the user's own class that counts its iterations."""

    n_iterations = 0

    def __iter__(self) -> Any:
        self.n_iterations += 1
        return super().__iter__()


def own_generator(seed: int) -> DataLoader[Any]:
    """A loader over a dataset with a generator of its own."""
    return DataLoader(OwnGenerator(np.random.default_rng(seed)), BATCH_SIZE, sampler=range(N_VALIDATION))


def batch_sampler_as_sampler() -> DataLoader[Any]:
    """A loader whose sampler yields lists of indices, which the dataset gets whole."""
    data = ManyAtOnce(N_VALIDATION)
    sampler = BatchSampler(SequentialSampler(data), BATCH_SIZE, drop_last=False)
    return DataLoader(data, sampler=sampler, batch_size=None)


def one_generator(_: Path) -> Training:
    """Both loaders shuffle with one generator, which the user made."""
    generator = torch.Generator().manual_seed(3)
    train = training_loader(generator=generator)
    validation = DataLoader(Images(N_VALIDATION), BATCH_SIZE, shuffle=True, generator=generator)
    return Training(train=train, validation=validation)


def one_pipeline(_: Path) -> Training:
    """Training and validation iterate over one object."""
    pipeline = Pipeline()
    return Training(train=pipeline, validation=pipeline, trainer={"num_sanity_val_steps": 0}, objects=pipeline)


def watched_pipeline(_: Path) -> Training:
    """Validation iterates over an object that can neither be copied nor pickled."""
    pipeline = Pipeline()
    return Training(validation=pipeline, objects=pipeline)


SITUATIONS = tuple(
    Situation("loader", name, make)
    for name, make in (
        ("dataset of batches, batch_size=None", lambda _: Training(validation=DataLoader(BatchesByIndex(), None))),
        ("stream of batches, batch_size=None", lambda _: Training(validation=DataLoader(BatchStream(), None))),
        ("sequence of batches", lambda _: Training(validation=UserList(batches()))),
        ("pipeline that is its own iterator", watched_pipeline),
        ("one pipeline for training and validation", one_pipeline),
        ("BatchSampler as sampler", lambda _: Training(validation=batch_sampler_as_sampler())),
        ("two validation loaders", lambda _: Training(validation=[own_generator(0), own_generator(1)])),
        ("validation loaders in a dict", lambda _: Training(validation={"a": own_generator(0), "b": own_generator(1)})),
        ("own class", lambda _: Training(validation=CountingLoader(Images(N_VALIDATION), BATCH_SIZE))),
        ("one generator for both loaders", one_generator),
        ("last batch smaller", lambda _: Training(validation=DataLoader(Images(19), BATCH_SIZE))),
    )
)

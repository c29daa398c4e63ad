"""Iterable datasets: fresh ones, ones over a single source, open files, and endless ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from benchmarks.safety.bitwise_identity.situations.base import Situation, Training
from benchmarks.safety.bitwise_identity.situations.data import BATCH_SIZE, CLASSES, N_VALIDATION, random_images
from benchmarks.safety.bitwise_identity.situations.lazy_files import EagerFile, write_pixels

#: So many batches of an endless source are one epoch.
LIMITED: dict[str, Any] = {"limit_val_batches": 2}
LIMITED_TWICE: dict[str, Any] = {"limit_train_batches": 3, "limit_val_batches": 2}


class Fresh(IterableDataset[Any]):
    """Every iterator starts from the first sample; workers share the samples."""

    def __init__(self, n: int = N_VALIDATION) -> None:
        self.x, self.y = random_images(n, seed=1)

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        for i in range(start, len(self.x), step):
            yield self.x[i], self.y[i]


class OneSource(IterableDataset[Any]):
    """Every iterator continues one source, as one over a socket or a queue does, and counts what was served."""

    def __init__(self) -> None:
        self.x, self.y = random_images(N_VALIDATION, seed=1)
        self.source = self._samples()
        self.served = 0

    def _samples(self) -> Iterator[Any]:
        """Samples that differ from all before."""
        n = 0
        while True:
            i = n % len(self.x)
            yield self.x[i] / (1 + 0.01 * n), self.y[i]
            n += 1

    def __iter__(self) -> Iterator[Any]:
        for sample in self.source:
            self.served += 1
            yield sample


class Lines(IterableDataset[Any]):
    """Reads an open file from where it is, and starts anew at its end."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.n_read = 0

    def __iter__(self) -> Iterator[Any]:
        while True:
            pixels = self.file.read(EagerFile.n_bytes)
            if not pixels:
                self.file.seek(0)
                continue
            self.n_read += 1
            image = np.frombuffer(pixels, dtype=np.uint8).reshape(3, 8, 8).astype(np.float32) / 255
            yield image, self.n_read % CLASSES


class ShuffleBuffer(Fresh):
    """Shuffles with a generator of its own, as WebDataset's buffer does."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(0)
        self.epoch = 0

    def __iter__(self) -> Iterator[Any]:
        self.epoch += 1
        for i in self.generator.permutation(len(self.x)):
            yield self.x[i], self.y[i]


class Endless(Fresh):
    """Never ends."""

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield from super().__iter__()


def validated(
    dataset: Callable[[], IterableDataset[Any]], trainer: dict[str, Any], **options: Any
) -> Callable[[Path], Training]:
    """Validation on an iterable dataset."""

    def make(_: Path) -> Training:
        return Training(validation=DataLoader(dataset(), BATCH_SIZE, **options), trainer=trainer)

    return make


def one_source_for_both(_: Path) -> Training:
    """Training and validation take from one source."""
    dataset = OneSource()
    return Training(train=DataLoader(dataset, BATCH_SIZE), validation=DataLoader(dataset, 4), trainer=LIMITED_TWICE)


def open_file(folder: Path) -> Training:
    """Validation reads on in an open file."""
    dataset = Lines(write_pixels(folder))
    return Training(validation=DataLoader(dataset, BATCH_SIZE), trainer=LIMITED, objects=dataset)


def open_file_for_both(folder: Path) -> Training:
    """Training and validation read on in one open file."""
    dataset = Lines(write_pixels(folder))
    loader = DataLoader(dataset, BATCH_SIZE)
    return Training(train=loader, validation=DataLoader(dataset, BATCH_SIZE), trainer=LIMITED_TWICE, objects=dataset)


WORKERS: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": "fork"}
LASTING: dict[str, Any] = {"num_workers": 1, "multiprocessing_context": "fork", "persistent_workers": True}
SITUATIONS = tuple(
    Situation("iterable dataset", name, make, options)
    for name, make, options in (
        ("fresh iterators", validated(Fresh, {}), {}),
        ("fresh iterators, two workers", validated(Fresh, {}, **WORKERS), {}),
        ("one source", validated(OneSource, LIMITED), {}),
        ("one source, probe drawn anew for every observation", validated(OneSource, LIMITED), {"resample_probe": True}),
        ("one source, a lasting worker", validated(OneSource, LIMITED, **LASTING), {}),
        ("one source for training and validation", one_source_for_both, {}),
        ("open file that is read on", open_file, {}),
        ("open file that training and validation read on", open_file_for_both, {}),
        ("shuffle buffer with its own generator", validated(ShuffleBuffer, {}), {}),
        ("endless, limit_val_batches", validated(Endless, LIMITED), {}),
    )
)

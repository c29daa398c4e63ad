"""Files opened lazily or early, read in the main process or by workers of every kind."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Subset

from benchmarks.safety.bitwise_identity.situations.base import Situation, Training
from benchmarks.safety.bitwise_identity.situations.data import BATCH_SIZE, split
from benchmarks.safety.bitwise_identity.situations.lazy_files import (
    EagerFile,
    LazyFile,
    WorkerFile,
    open_in_worker,
    write_pixels,
)

NO_SANITY_CHECK: dict[str, Any] = {"num_sanity_val_steps": 0}


def lazy(context: str | None, n_workers: int, trainer: dict[str, Any], **options: Any) -> Callable[[Path], Training]:
    """Validation on a lazily opened file with workers of one kind; the training images are in memory."""

    def make(_: Path) -> Training:
        if context == "forkserver":  # what workers need is imported once and not by each of them
            multiprocessing.get_context(context).set_forkserver_preload([LazyFile.__module__])
        dataset = Subset(LazyFile(), range(16))
        loader = DataLoader(dataset, BATCH_SIZE, num_workers=n_workers, multiprocessing_context=context, **options)
        return Training(validation=loader, trainer={"max_epochs": 1, **trainer})

    return make


def shared_by_both(_: Path) -> Training:
    """Training and validation read one lazily opened file in the main process."""
    loaders = split(LazyFile())
    return Training(train=loaders[0], validation=loaders[1], trainer=NO_SANITY_CHECK)


def shared_with_workers(_: Path) -> Training:
    """Training and validation read one lazily opened file in workers; the main process must never open it."""
    loaders = split(LazyFile(), num_workers=1, multiprocessing_context="fork")
    return Training(train=loaders[0], validation=loaders[1])


def opened_by_worker_init(_: Path) -> Training:
    """Only workers can read, because ``worker_init_fn`` opens the file."""
    options: dict[str, Any] = {"num_workers": 1, "multiprocessing_context": "fork", "worker_init_fn": open_in_worker}
    return Training(validation=DataLoader(WorkerFile(), BATCH_SIZE, **options))


def opened_early(folder: Path) -> Training:
    """Training and validation read one open file, whose position moves."""
    dataset = EagerFile(write_pixels(folder))
    loaders = split(dataset)
    return Training(train=loaders[0], validation=loaders[1], objects=dataset.file)


SITUATIONS = tuple(
    Situation("file", name, make, options)
    for name, make, options in (
        ("opened lazily, shared by training and validation", shared_by_both, {}),
        ("opened lazily, no workers, no sanity check", lazy(None, 0, NO_SANITY_CHECK), {}),
        ("opened lazily, no workers", lazy(None, 0, {}), {}),
        ("opened lazily, no workers, probe drawn anew", lazy(None, 0, {"max_epochs": 2}), {"resample_probe": True}),
        ("opened lazily, shared, a worker by fork", shared_with_workers, {}),
        ("opened lazily, two workers by fork, no sanity check", lazy("fork", 2, NO_SANITY_CHECK), {}),
        ("opened lazily, a worker by forkserver", lazy("forkserver", 1, {}), {}),
        ("opened lazily, two workers by forkserver, no sanity check", lazy("forkserver", 2, NO_SANITY_CHECK), {}),
        ("opened lazily, a lasting worker by spawn", lazy("spawn", 1, {}, persistent_workers=True), {}),
        ("opened by worker_init_fn", opened_by_worker_init, {}),
        ("opened early, position moves", opened_early, {}),
    )
)

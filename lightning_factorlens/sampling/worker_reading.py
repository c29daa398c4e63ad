"""Reads in worker processes of a private ``DataLoader`` with the settings of the user's loader."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from lightning_factorlens._private_api.data_loading import shutdown_workers
from lightning_factorlens.batches.drawn_batch import DrawnBatch
from lightning_factorlens.sampling.plain_pickle import from_bytes, to_bytes
from lightning_factorlens.sampling.readings import Reading, Report, count_rows
from lightning_factorlens.sampling.shared_state import Channel, open_channels, separate_process

#: Seconds without a batch after which the workers are taken for blocked, where the user's loader has no timeout.
TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class WorkerSettings:
    """How a loader runs its worker processes.

    Attributes:
        num_workers: Number of processes.
        context: How they are started; None for the default of the system.
        init: Called in each process with its number.
        prefetch_factor: Number of batches that each process reads in advance.
        timeout: Seconds to wait for a batch; 0 without a limit.
    """

    num_workers: int
    context: Any
    init: Callable[[int], None] | None
    prefetch_factor: int | None
    timeout: float

    @staticmethod
    def of(loader: DataLoader[Any]) -> WorkerSettings | None:
        """The settings of a loader; None if it has no workers."""
        if loader.num_workers == 0:
            return None
        context = loader.multiprocessing_context
        init = loader.worker_init_fn
        return WorkerSettings(loader.num_workers, context, init, loader.prefetch_factor, loader.timeout)


def read_in_workers(reading: Reading, settings: WorkerSettings, seed: int, report: Report) -> list[DrawnBatch]:
    """Reads batches in worker processes, which collate them too.

    Args:
        reading: What is read.
        settings: How the processes run.
        seed: Seed of the processes' random states.
        report: Receives the number of samples that have been read.

    Returns:
        The batches.

    Raises:
        RuntimeError: A process was blocked or ended early.
        Exception: What reading raised in a process.
    """
    arguments = reading.loader_arguments()
    chosen = arguments.get("batch_sampler", arguments.get("sampler"))
    num_workers = settings.num_workers if chosen is None else min(settings.num_workers, len(chosen))
    if num_workers == 0:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of many workers, of forks: the user's own loader warns of the same
        loader: DataLoader[Any] = DataLoader(
            **arguments,
            collate_fn=PackBatch(reading.collate, reading.counted),
            num_workers=num_workers,
            multiprocessing_context=settings.context,
            worker_init_fn=InitWorker(settings.init, open_channels()),
            prefetch_factor=settings.prefetch_factor,
            timeout=settings.timeout or TIMEOUT_SECONDS,
            generator=torch.Generator().manual_seed(seed),
        )
        iterator = iter(loader)
    batches = []
    n_read = 0
    try:
        for data in iterator:
            batch: DrawnBatch = from_bytes(data)
            batches.append(batch)
            n_read += count_rows(batch.data) if batch.n_samples is None else batch.n_samples
            report(n_read)
            if n_read >= reading.size:
                break
    finally:
        shutdown_workers(iterator)
    return batches


@dataclass(frozen=True)
class PackBatch:
    """Collates a batch in the worker process, and packs it with its number of samples.

    Attributes:
        collate: The user's collate function.
        counted: Whether it is called with a list of samples.
    """

    collate: Callable[[Any], Any]
    counted: bool

    def __call__(self, samples: Any) -> bytes:
        """Returns the batch as bytes."""
        n_samples = len(samples) if self.counted else None
        return to_bytes(DrawnBatch(self.collate(samples), n_samples))


@dataclass(frozen=True)
class InitWorker:
    """Prepares a worker process.

    Attributes:
        init: The user's function.
        channels: The parent's pipes and sockets.
    """

    init: Callable[[int], None] | None
    channels: frozenset[Channel]

    def __call__(self, worker_id: int) -> None:
        """Separates the process from what it shares with its parent, and calls the user's function."""
        separate_process(self.channels)
        if self.init is not None:
            self.init(worker_id)

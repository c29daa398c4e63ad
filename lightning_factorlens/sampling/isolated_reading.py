"""Reads the user's data without changing the user's objects: in other processes, or from a private copy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from lightning_factorlens.sampling.forked_reading import can_fork, read_in_fork
from lightning_factorlens.sampling.key_source import KeyReading, KnownKeys, SampledKeys
from lightning_factorlens.sampling.keyed_readings import KeyedReading
from lightning_factorlens.sampling.readings import Reading, Report, StreamReading
from lightning_factorlens.sampling.seeding import seed_cpu
from lightning_factorlens.sampling.shared_state import is_channel_error
from lightning_factorlens.sampling.worker_reading import WorkerSettings, read_in_workers

#: Errors of the user's own code, which another way of reading cannot avoid.
USER_ERRORS = (IndexError, KeyError, FileNotFoundError, NotImplementedError, ZeroDivisionError)
#: Loaders whose threads and devices do not work in a forked process and cannot be copied.
NATIVE_PACKAGES = ("nvidia.dali", "ffcv")

#: Batches after which an epoch of such a loader counts as endless.
MAX_EPOCH = 100_000

Notify = Callable[[str], None]


def read_isolated(
    reading: Reading | KeyReading, settings: WorkerSettings | None, seed: int, report: Report, notify: Notify
) -> list[Any]:
    """Reads everything, in the first of these ways that works.

    Data of types that keep no state are read in this process. Other data are read in processes of their own, then from
    a private copy, and at last in this process, which may change the user's objects, so that it is said.

    Args:
        reading: What is read.
        settings: How the loader runs its workers; None where it has none, or where the keys of a sampler are read.
        seed: Seed of the random states.
        report: Receives the number of samples that have been read.
        notify: Receives a warning if the data were read in this process.

    Returns:
        What the reading yields.

    Raises:
        TypeError: Only this process could read, and would use up a stream.
        Exception: An error of the user's code.
    """
    if reading.is_stateless:
        return list(reading.read(report))
    if settings is not None and isinstance(reading, KeyedReading) and isinstance(reading.keys, SampledKeys):
        (batches,) = read_isolated(KeyReading(reading.keys), None, seed, report, notify)
        reading = replace(reading, keys=KnownKeys(batches))
    is_native = is_native_loader(reading)
    failures: list[Exception] = []
    for read in [] if is_native else _ways(reading, settings, seed, report):
        try:
            return read()
        except Exception as error:
            if isinstance(error, USER_ERRORS) or _is_repeated(error, failures):
                raise
            failures.append(error)
            if is_channel_error(error):
                break  # a copy would use the same pipe or socket
    return _read_here(reading, is_native, failures, seed, report, notify)


def is_native_loader(reading: Reading | KeyReading) -> bool:
    """Whether the data come from a loader of `NATIVE_PACKAGES`."""
    if not isinstance(reading, StreamReading):
        return False
    return any(kind.__module__.startswith(NATIVE_PACKAGES) for kind in type(reading.source).__mro__)


def _ways(
    reading: Reading | KeyReading, settings: WorkerSettings | None, seed: int, report: Report
) -> list[Callable[[], list[Any]]]:
    """The ways to read that leave the user's objects as they are, the best first."""
    ways: list[Callable[[], list[Any]]] = []
    if settings is not None and isinstance(reading, Reading):
        ways.append(partial(read_in_workers, reading, settings, seed, report))
    elif can_fork():
        ways.append(partial(read_in_fork, reading, seed, report))
    ways.append(partial(_read_copy, reading, seed, report))
    return ways


def _read_copy(reading: Reading | KeyReading, seed: int, report: Report) -> list[Any]:
    private = copy.deepcopy(reading)  # at once, so that what dataset, sampler and collate function share stays shared
    seed_cpu(seed)
    return list(private.read(report))


def _is_repeated(error: Exception, failures: list[Exception]) -> bool:
    """Whether an earlier way failed for the same reason; a worker's error contains the message of the original."""
    return any(type(error) is type(earlier) and str(error) in str(earlier) for earlier in failures)


def _read_here(
    reading: Reading | KeyReading, is_native: bool, failures: list[Exception], seed: int, report: Report, notify: Notify
) -> list[Any]:
    reasons = "; ".join(f"{type(error).__name__}: {_first_line(error)}" for error in failures)
    if is_native:
        reasons = "its threads and devices do not work in a forked process, nor in a copy"
    elif reading.is_one_shot:
        raise TypeError(
            f"probe: found {reading.name}, which can be read neither in a process of its own nor from a copy "
            f"({reasons}), and reading it here could use up samples of your validation. Pass `probe=` a tensor of "
            "inputs, a map-style dataset, or an iterable made for the probe alone that can be copied."
        )
    notify(
        f"FactorLens reads the probe's samples from {reading.name} in the main process ({reasons}). A dataset, sampler "
        "or collate function that keeps state, such as a random generator of its own or an open file, is changed by "
        "this, and the training with it. To avoid that, pass `probe=` a tensor of inputs, or a dataset made for the "
        "probe alone."
    )
    seed_cpu(seed)
    items = list(reading.read(report))
    if isinstance(reading, StreamReading) and hasattr(type(reading.source), "__next__"):
        _finish_epoch(reading.source)
    return items


def _finish_epoch(iterator: Any) -> None:
    """Reads an iterator to its end and resets it, so that the next pass over it begins at its beginning."""
    for _ in islice(iterator, MAX_EPOCH):
        pass
    reset = getattr(iterator, "reset", None)
    if callable(reset):
        reset()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:200]

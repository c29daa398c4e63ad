"""The order in which records are made, and lock files by which several processes share one folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from benchmarks.stopping.tasks import Task

Job = TypeVar("Job")


def queue(tasks: Iterable[Task]) -> list[tuple[Task, int]]:
    """All tasks and seeds in the order of work: every task's first seed before any second, development tasks first."""
    jobs = [(i, task.part == "confirmation", task, seed) for task in tasks for i, seed in enumerate(task.seeds)]
    jobs.sort(key=lambda job: job[:2])
    return [(task, seed) for _, _, task, seed in jobs]


def unmade(jobs: Iterable[Job], out: Path, name_of: Callable[[Job], str]) -> Iterator[Job]:
    """The jobs whose records neither exist nor are being made by another process; each is locked while it is made.

    Args:
        jobs: All jobs.
        out: Folder of the records and locks.
        name_of: Name of a job's record, without a suffix.
    """
    for job in jobs:
        path = out / f"{name_of(job)}.npz"
        lock = out / f"{name_of(job)}.lock"
        if path.exists() or not claimed(lock):
            continue
        try:
            if not path.exists():
                yield job
        finally:
            lock.unlink(missing_ok=True)


def claimed(lock: Path) -> bool:
    """Takes a job, unless a running process holds it.

    The lock is a link to a file that already holds the process id, so that no lock is ever empty.
    """
    own = lock.with_suffix(f".{os.getpid()}")
    own.write_text(str(os.getpid()))
    try:
        os.link(own, lock)
        return True
    except FileExistsError:
        if alive(int(lock.read_text())):
            return False
        own.replace(lock)
        return True
    finally:
        own.unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Whether a process with this id is running."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True

"""Which records are made next, and by whom: several processes share one folder through lock files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from benchmarks.stopping.tasks import Task


def queue(tasks: Iterable[Task]) -> list[tuple[Task, int]]:
    """The order of work: every task's first seed before any second; in a round development first, cheap ones first."""
    jobs = [(i, task.part == "confirmation", task, seed) for task in tasks for i, seed in enumerate(task.seeds)]
    jobs.sort(key=lambda job: job[:2])
    return [(task, seed) for _, _, task, seed in jobs]


def claimed(lock: Path) -> bool:
    """Takes a job unless a process that still lives has it; the lock appears with its owner's number already in it."""
    mine = lock.with_suffix(f".{os.getpid()}")
    mine.write_text(str(os.getpid()))
    try:
        os.link(mine, lock)
        return True
    except FileExistsError:
        if alive(int(lock.read_text())):
            return False
        mine.replace(lock)
        return True
    finally:
        mine.unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Whether a process of this number runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True

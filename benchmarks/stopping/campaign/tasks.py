"""The tasks of the second campaign, split into those on which rules may be tuned and those that confirm them.

The split was fixed before any rule was tuned (`split.json`, `PROTOCOL.md`). ``python -m
benchmarks.stopping.campaign.tasks`` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.stopping.campaign import confirmation, development
from benchmarks.stopping.campaign.networks import NETS
from benchmarks.stopping.campaign.task import Part, Task

SPLIT = Path(__file__).with_name("split.json")
#: Seeds of a task's runs in each part; a second seed is trained only if there is time.
SEEDS: dict[Part, tuple[int, ...]] = {"development": (200, 201), "confirmation": (300, 301)}


def _tasks(part: Part, rows: Iterable[tuple[str, str, int, dict[str, Any]]]) -> Iterator[Task]:
    """Tasks of a part; data set, net and number of samples are read from the name."""
    for regime, name, epochs, fields in rows:
        dataset, rest = name.split("-", 1)
        net = next(net for net in sorted(NETS, key=len, reverse=True) if rest.startswith(f"{net}-"))
        images = int(rest.removeprefix(f"{net}-").split("-")[0])
        yield Task(name, part, regime, dataset, images, net, epochs, seeds=SEEDS[part], **fields)  # type: ignore[arg-type]


DEVELOPMENT = tuple(_tasks("development", development.ROWS))
CONFIRMATION = tuple(_tasks("confirmation", confirmation.ROWS))
TASKS = {task.name: task for task in (*DEVELOPMENT, *CONFIRMATION)}


def run_name(task: Task, seed: int) -> str:
    """The name of a run's files, without a suffix."""
    return f"{task.name}-s{seed}"


def queue(tasks: Iterable[Task], n_seeds: int) -> list[tuple[Task, int]]:
    """Tasks and seeds in the order of work: all first seeds before any second one, in the order of the tasks."""
    listed = list(tasks)
    return [(task, task.seeds[k]) for k in range(n_seeds) for task in listed if k < len(task.seeds)]


def split() -> dict[str, list[dict[str, Any]]]:
    """The split as in `split.json`: every task with all its fields, by part."""
    return {"development": [asdict(t) for t in DEVELOPMENT], "confirmation": [asdict(t) for t in CONFIRMATION]}


def main() -> None:
    """Writes `split.json`."""
    SPLIT.write_text(json.dumps(split(), indent=1) + "\n")


if __name__ == "__main__":
    main()

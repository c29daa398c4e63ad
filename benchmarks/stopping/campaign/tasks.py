"""The tasks of the second campaign, split into those on which rules may be tuned and those that confirm them.

The split was fixed before any rule was tuned (`split.json`, `PROTOCOL.md`). The third part was added when the first two
had been used up. ``python -m
benchmarks.stopping.campaign.tasks`` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from benchmarks.stopping.campaign import confirmation, development, third
from benchmarks.stopping.campaign.networks import NETS
from benchmarks.stopping.campaign.task import Part, Task

SPLIT = Path(__file__).with_name("split.json")
#: Seeds of a task's runs in each part; a second seed is trained only if there is time.
SEEDS: dict[Part, tuple[int, ...]] = {"development": (200, 201), "confirmation": (300, 301), "third": (400, 401)}
#: Fields that came with the third part; entries of the split that have their defaults leave them out.
LATER_FIELDS = ("erase", "noise_kind")


def _tasks(part: Part, rows: Iterable[tuple[str, str, int, dict[str, Any]]]) -> Iterator[Task]:
    """Tasks of a part; data set, net and number of samples are read from the name."""
    for regime, name, epochs, settings in rows:
        dataset, rest = name.split("-", 1)
        net = next(net for net in sorted(NETS, key=len, reverse=True) if rest.startswith(f"{net}-"))
        images = int(rest.removeprefix(f"{net}-").split("-")[0])
        yield Task(name, part, regime, dataset, images, net, epochs, seeds=SEEDS[part], **settings)  # type: ignore[arg-type]


DEVELOPMENT = tuple(_tasks("development", development.ROWS))
CONFIRMATION = tuple(_tasks("confirmation", confirmation.ROWS))
THIRD = tuple(_tasks("third", third.ROWS))
PARTS: dict[Part, tuple[Task, ...]] = {"development": DEVELOPMENT, "confirmation": CONFIRMATION, "third": THIRD}
TASKS = {task.name: task for tasks in PARTS.values() for task in tasks}


def run_name(task: Task, seed: int) -> str:
    """The name of a run's files, without a suffix."""
    return f"{task.name}-s{seed}"


def queue(tasks: Iterable[Task], n_seeds: int) -> list[tuple[Task, int]]:
    """Tasks and seeds in the order of work: all first seeds before any second one, in the order of the tasks."""
    listed = list(tasks)
    return [(task, task.seeds[k]) for k in range(n_seeds) for task in listed if k < len(task.seeds)]


def split() -> dict[str, list[dict[str, Any]]]:
    """The split as in `split.json`: every task with its fields, by part."""
    return {part: [_entry(task) for task in tasks] for part, tasks in PARTS.items()}


def _entry(task: Task) -> dict[str, Any]:
    defaults = {field.name: field.default for field in fields(Task)}
    values = asdict(task)
    return {k: value for k, value in values.items() if k not in LATER_FIELDS or value != defaults[k]}


def main() -> None:
    """Writes `split.json`."""
    SPLIT.write_text(json.dumps(split(), indent=1) + "\n")


if __name__ == "__main__":
    main()

"""The results of all trials so far, in one file that every trial is merged into, and the closing figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.model_families.registry import FAMILIES
from benchmarks.model_families.trial import BARE, ONE_ARGUMENT, SKIPPED
from benchmarks.reporting import Figure, machine, results_path, write_json

TOPIC = "model_families"
#: Packages whose versions are recorded.
PACKAGES = ("lightning", "torchvision", "timm", "transformers", "torch_geometric")

#: The fields of a `Trial`, and the date.
Row = dict[str, Any]


def results_file() -> Path:
    """Path of the JSON file."""
    return results_path(TOPIC, f"{TOPIC}.json")


def read_results() -> dict[str, Any]:
    """The file's content: the machine of the last run, and a row for each family that has been run."""
    path = results_file()
    if not path.exists():
        return {"machine": {}, "rows": []}
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def merge(row: Row, rows: Sequence[Row]) -> list[Row]:
    """The rows with one added or replaced, in the order of the families; rows of families that are gone are dropped."""
    by_name = {earlier["family"]: earlier for earlier in rows}
    by_name[row["family"]] = row
    return [by_name[name] for name in FAMILIES if name in by_name]


def store(row: Row) -> list[Row]:
    """Merges a row into the file.

    Returns:
        All rows of the file.
    """
    current = machine(PACKAGES)
    rows = merge({**row, "date": current["date"]}, read_results()["rows"])
    write_json(TOPIC, TOPIC, {"machine": current, "rows": rows}, figures(rows))
    return rows


def ran(row: Row) -> bool:
    """Whether a family ran without or with one argument."""
    return row["result"] in (BARE, ONE_ARGUMENT)


def figures(rows: Sequence[Row]) -> list[Figure]:
    """The closing figures: every family has run, and none has changed its training."""
    n_bare = sum(row["result"] == BARE for row in rows)
    n_skipped = sum(row["result"] == SKIPPED for row in rows)
    n_changed = sum(row["identical"] is False for row in rows)
    n_identical = sum(row["identical"] is True for row in rows)
    n_torchvision = sum(ran(row) for row in rows if row["family"].startswith("torchvision."))
    goal_torchvision = sum(name.startswith("torchvision.") for name in FAMILIES)
    n_others = sum(ran(row) for row in rows) - n_torchvision
    return [
        Figure("model_families_of_torchvision_run", n_torchvision, goal_torchvision),
        Figure("model_families_of_other_libraries_run", n_others, len(FAMILIES) - goal_torchvision),
        Figure("model_families_run_without_argument", n_bare, 0.9 * len(FAMILIES)),
        Figure("model_families_identical", n_identical, len(FAMILIES)),
        Figure("model_families_changed", n_changed, 0, at_most=True),
        Figure("model_families_skipped", n_skipped, 0, at_most=True),
    ]

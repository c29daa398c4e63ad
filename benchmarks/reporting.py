"""What every benchmark shares: the machine, results as JSON, tables in Markdown, the closing lines.

A benchmark ends with one line a figure, ``figure NAME VALUE goal GOAL ok|short``, so that a reader or a script sees at
a glance what was reached.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import math
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


@dataclass(frozen=True)
class Figure:
    """One number with a goal.

    Attributes:
        name: In snake case; stays the same over the versions.
        value: Measured; NaN when it could not be.
        goal: To be reached.
        at_most: Whether smaller is better.
    """

    name: str
    value: float
    goal: float
    at_most: bool = False

    @property
    def reached(self) -> bool:
        """Whether the goal is met; a NaN never is."""
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        return f"figure {self.name} {self.value:.4g} goal {sign}{self.goal:g} {'ok' if self.reached else 'short'}"


def machine(packages: Iterable[str] = ()) -> dict[str, Any]:
    """Processor, memory, versions, date, and how busy the machine was."""
    import torch

    versions = {}
    for package in ("torch", "numpy", *packages):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "load_average": [round(x, 2) for x in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return f"{named.get('model name', '?')} (family {named.get('cpu family', '?')}, {named.get('cpu MHz', '?')} MHz)"


def write_json(name: str, payload: dict[str, Any], figures: Sequence[Figure] = ()) -> Path:
    """Writes ``results/NAME.json``, the figures with their verdicts in it."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    verdicts = [{**asdict(f), "reached": f.reached} for f in figures]
    path.write_text(json.dumps(_plain({**payload, "figures": verdicts}), indent=1, ensure_ascii=False) + "\n")
    return path


def _plain(value: Any) -> Any:
    """Numbers to five digits, NaN and infinity as null: valid JSON that diffs well."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def median(values: Iterable[float]) -> float:
    """The median; NaN of nothing."""
    found = list(values)
    return statistics.median(found) if found else math.nan


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; every cell is already text."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def write_section(name: str, text: str) -> None:
    """Puts ``text`` between the markers of ``name`` in benchmarks/README.md, and prints it with them."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    path = HERE / "README.md"
    old = path.read_text() if path.exists() else "# Benchmarks\n"
    if begin in old and end in old:
        new = old[: old.index(begin)] + section + old[old.index(end) + len(end) :]
    else:
        new = f"{old.rstrip()}\n\n{section}\n"
    path.write_text(new)
    print(section)


def close(figures: Iterable[Figure]) -> None:
    """The closing lines."""
    for figure in figures:
        print(figure)

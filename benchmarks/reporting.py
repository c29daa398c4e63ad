"""Shared by all benchmarks: description of the machine, results as JSON, tables in Markdown, closing lines.

A benchmark ends with one line per figure, ``figure NAME VALUE goal GOAL ok|short``, which a reader or a script can
compare with the goal.
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

#: The folder that holds one package per topic, and the repository's root above it.
BENCHMARKS = Path(__file__).resolve().parent
ROOT = BENCHMARKS.parent


@dataclass(frozen=True)
class Figure:
    """One measured number and the goal it is compared with.

    Attributes:
        name: Identifier in snake case; it stays the same over the versions.
        value: The measured number; NaN when it could not be measured.
        goal: The bound to be reached.
        at_most: Whether the value must be at most the goal; otherwise it must be at least the goal.
    """

    name: str
    value: float
    goal: float
    at_most: bool = False

    @property
    def reached(self) -> bool:
        """Whether the goal is met; NaN never meets a goal."""
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        return f"figure {self.name} {self.value:.4g} goal {sign}{self.goal:g} {'ok' if self.reached else 'short'}"


def machine(packages: Iterable[str] = ()) -> dict[str, Any]:
    """Describes the machine: processor, memory, package versions, date and load average.

    Args:
        packages: Distributions whose versions are recorded in addition to torch and numpy.
    """
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
    fields = {}
    for line in lines:
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()
    return f"{fields.get('model name', '?')} (family {fields.get('cpu family', '?')}, {fields.get('cpu MHz', '?')} MHz)"


def subprocess_environment(threads: int | None = None) -> dict[str, str]:
    """Environment variables for a Python subprocess that imports `benchmarks` and the package from this repository.

    Args:
        threads: Threads of the numerical libraries; None leaves them as they are in this process.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if threads is not None:
        for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[variable] = str(threads)
    return environment


def results_path(topic: str, file_name: str) -> Path:
    """The path of a file in the ``results`` folder of a topic, e.g. ``results_path("solver", "solver.png")``."""
    return BENCHMARKS / topic / "results" / file_name


def write_json(topic: str, name: str, payload: dict[str, Any], figures: Sequence[Figure] = ()) -> Path:
    """Writes ``TOPIC/results/NAME.json``: the payload, and the figures together with whether each reached its goal.

    Returns:
        The path of the file.
    """
    path = results_path(topic, f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    judged = [{**asdict(figure), "reached": figure.reached} for figure in figures]
    text = json.dumps(_plain({**payload, "figures": judged}), indent=1, ensure_ascii=False)
    path.write_text(text + "\n")
    return path


def _plain(value: Any) -> Any:
    """Rounds numbers to five digits and replaces NaN and infinity by None, so that the JSON is valid and diffs well."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def median(values: Iterable[float]) -> float:
    """The median; NaN of no values."""
    found = list(values)
    return statistics.median(found) if found else math.nan


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; every cell is already text."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def write_section(topic: str, name: str, text: str) -> None:
    """Replaces the section ``name`` in the README of a topic, or appends it, and prints it; see `replace_section`."""
    path = BENCHMARKS / topic / "README.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(f"# Benchmarks: {topic}\n")
    print(replace_section(path, name, text))


def replace_section(path: Path, name: str, text: str) -> str:
    """Replaces the section ``name`` in a page, or appends it.

    A section lies between the comments ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.

    Returns:
        The section with its comments.
    """
    begin = f"<!-- {name}: begin -->"
    end = f"<!-- {name}: end -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    old = path.read_text()
    if begin in old and end in old:
        new = old[: old.index(begin)] + section + old[old.index(end) + len(end) :]
    else:
        new = f"{old.rstrip()}\n\n{section}\n"
    path.write_text(new)
    return section


def print_figures(figures: Iterable[Figure]) -> None:
    """Prints the closing lines, one per figure."""
    for figure in figures:
        print(figure)

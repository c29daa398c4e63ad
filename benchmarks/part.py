"""Benchmarks of several parts: what a part returns, and the command that measures some of them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.reporting import Figure, machine, median, write_json, write_section
from benchmarks.solver.networks import DATA

Result = TypeVar("Result")


@dataclass
class Measured:
    """The results of one part.

    Attributes:
        section: Text of the README's section, in Markdown.
        payload: Numbers for the JSON file.
        figures: The closing lines.
    """

    section: str
    payload: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)


#: Measures a part, given the folder of the data and whether to be quick.
Measure = Callable[[Path, bool], Measured]


def measure_parts(
    topic: str, description: str | None, parts: Mapping[str, Measure], packages: Sequence[str]
) -> list[Figure]:
    """Measures the parts that the command line names, with one thread, and writes their results.

    Args:
        topic: Folder of the benchmark.
        description: Help of the command.
        parts: What measures each part, by its name.
        packages: Packages whose versions are written beside the results.

    Returns:
        The closing lines of all parts.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=DATA, help="folder with MNIST/raw and cifar10.npz")
    parser.add_argument("--parts", default=",".join(parts))
    parser.add_argument("--quick", action="store_true", help="smaller models or data sets, and fewer repetitions")
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures = []
    for name in args.parts.split(","):
        measured = parts[name](args.data_dir, args.quick)
        write_json(topic, name, {"machine": machine(list(packages)), **measured.payload}, measured.figures)
        write_section(topic, name, measured.section)
        figures += measured.figures
    return figures


def timed(function: Callable[[], Result]) -> tuple[float, Result]:
    """Returns the processor seconds of a call and its result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def interleaved_medians(functions: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    """Returns the median processor seconds of each function; they take turns, so that all meet the same load."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            seconds[name].append(timed(function)[0])
    return {name: median(values) for name, values in seconds.items()}

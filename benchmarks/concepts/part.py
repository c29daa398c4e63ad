"""What every part of the benchmark returns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from benchmarks.reporting import Figure, median

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

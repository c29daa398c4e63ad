"""Sharded models: is an observation that of one process, and is the training what it would be without the lens?"""

from __future__ import annotations

import importlib.util
import math
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from benchmarks.scale import sharded_process
from benchmarks.scale.sharded_models import WAYS

#: Numbers of processes.
SIZES = (2, 4)
#: Numbers of samples in the probe: fewer than processes, one batch, two, and two and a part.
COUNTS = [1, 100, 256, 300]
TITLE = "Sharded models"


def measure(data_dir: Path, quick: bool) -> Measured:
    """Runs every way of sharding on two and four processes; no data is read."""
    rows = []
    figures = []
    payload = {}
    torch.backends.mha.set_fastpath_enabled(False)
    counts = [COUNTS[1]] if quick else COUNTS
    for size in SIZES[:1] if quick else SIZES:
        ways = [way for way in WAYS if _can_run(way, size)]
        reports = _run(size, ways, counts)
        for way in ways:
            row = _summary([report[way] for report in reports], len(counts))
            payload[f"{way}, {size} processes"] = row
            cells = [f"{row['difference']:.0e}", "yes" if row["equal_weights"] else "no"]
            cells += [f"{row['error_seconds']:.1f} s", "yes" if row["same_afterwards"] else "no"]
            rows.append([way, str(size), *cells])
        memory = [report["memory"] for report in reports]
        payload[f"memory, {size} processes"] = memory
        added = max(m["added"] for m in memory)
        figures.append(Figure(f"sharded_memory_share_{size}", added / memory[0]["bound"], 1.0, at_most=True))
    summaries = [row for name, row in payload.items() if not name.startswith("memory")]
    figures += [
        Figure("sharded_largest_difference", max(row["difference"] for row in summaries), 1e-12, at_most=True),
        Figure("sharded_equal_weights", min(float(row["equal_weights"]) for row in summaries), 1.0),
        Figure("sharded_error_seconds", max(row["error_seconds"] for row in summaries), 5.0, at_most=True),
        Figure("sharded_same_after_error", min(float(row["same_afterwards"]) for row in summaries), 1.0),
    ]
    return Measured(_section(rows, payload, counts), payload, figures)


def _can_run(way: str, size: int) -> bool:
    if way.startswith("ZeRO"):
        return importlib.util.find_spec("deepspeed") is not None
    return size > 2 or "hybrid" not in way


def _run(size: int, ways: list[str], counts: list[int]) -> list[dict[str, Any]]:
    """The reports of all processes."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    # Otherwise glibc keeps freed memory for later, and the size of a process says little about what it uses.
    os.environ.update(MALLOC_MMAP_THRESHOLD_="262144", MALLOC_TRIM_THRESHOLD_="262144")
    with tempfile.TemporaryDirectory() as folder:
        arguments = (size, port, folder, ways, counts)
        torch.multiprocessing.spawn(sharded_process.main, arguments, nprocs=size)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(size)]


def _summary(reports: list[dict[str, Any]], n_first: int) -> dict[str, Any]:
    """The worst of all processes; every observation is compared with that of one process."""
    difference = 0.0
    for k, (state, count, _) in enumerate(reports[0]["observations"]):
        expected = sharded_process.whole_numbers(state, count, max(0, k + 1 - n_first))
        for report in reports:
            difference = max(difference, _difference(expected, report["observations"][k][2]))
    return {
        "difference": difference,
        "equal_weights": all(report["equal_weights"] for report in reports),
        "error_seconds": max(report["error_seconds"] for report in reports),
        "same_afterwards": all(report["same_afterwards"] for report in reports),
        "errors": [report["error"] for report in reports],
    }


def _difference(expected: dict[Any, float], found: dict[Any, float]) -> float:
    """The largest difference of two observations; infinite where one has a number that the other lacks."""
    if expected.keys() != found.keys():
        return math.inf
    largest = 0.0
    for name, value in expected.items():
        if not (math.isnan(value) and math.isnan(found[name])):
            largest = max(largest, abs(value - found[name]))
    return largest


def _section(rows: list[list[str]], payload: dict[str, Any], counts: list[int]) -> str:
    header = ["sharded by", "processes", "largest difference", "weights equal", "failure known after", "exact after it"]
    lines = []
    for name, memory in payload.items():
        if name.startswith("memory"):
            added = max(m["added"] for m in memory)
            lines.append(
                f"{name}: gathering and dealing the weights of a network of {memory[0]['model']:.0f} MiB adds "
                f"{added:.0f} MiB to a process, of {memory[0]['bound']:.0f} that its share and the largest block have."
            )
    return (
        f"## {TITLE}\n\n`python -m benchmarks.scale --parts sharded`. A convolution, two blocks of a transformer and a "
        f"linear layer, trained for three steps by processes on one machine (gloo). Probes of "
        f"{', '.join(map(str, counts))} samples are observed before the first step, the last one before the others as "
        "well. torch's fast path of attention is off in all of them: it rounds in another way, and DeepSpeed's ZeRO-3 "
        "does not take it. Difference: of any number of any observation from that of one process with the whole model. "
        "Weights: those after training with the lens against those without it, bit for bit. Failure: a measurement "
        "fails in one process; the seconds include the forward passes before it.\n\n"
        + markdown_table(header, rows)
        + "\n\n"
        + "\n\n".join(lines)
    )

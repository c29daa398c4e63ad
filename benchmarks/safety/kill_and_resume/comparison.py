"""Trains a run once uninterrupted and once with kills and resumes, and compares everything that both logged."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.safety.kill_and_resume.train import Run, train

#: A server that has imported what takes seconds to import; every run is forked from it.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["lightning.pytorch", "lightning_factorlens.callbacks.factorlens_callback"])
#: Seconds after which a training process counts as hung.
TIMEOUT = 600
#: Last words of the tags that hold measured time, which differs from run to run.
TIMES = ("seconds", "share", "overhead")


@dataclass(frozen=True)
class Outcome:
    """The comparison of an uninterrupted run with its killed and resumed copy.

    Attributes:
        run: Name of the run.
        kills: How often the copy was killed.
        points: Number of points (tag and step) that the uninterrupted run logged.
        differing: Number of points in which the two differ.
        stopped_whole: Last epoch of the uninterrupted run.
        stopped_killed: Last epoch of the copy.
        same_weights: Whether the final weights are equal bit for bit.
        first_differences: Up to five differences in words.
    """

    run: str
    kills: int
    points: int
    differing: int
    stopped_whole: int
    stopped_killed: int
    same_weights: bool
    first_differences: tuple[str, ...]


def points(folder: Path) -> dict[tuple[str, int], list[float]]:
    """Every value that the callback logged, by tag and step.

    Tags that hold measured time are left out, and the best values so far, which a resumed run writes once more: its
    loggers may write to another folder.
    """
    values: dict[tuple[str, int], list[float]] = {}
    for line in (folder / "points.jsonl").read_text().splitlines():
        tag, step, value = json.loads(line)
        measures_time = "_cost/" in tag or tag.rpartition("/")[2] in TIMES
        if tag.startswith("factorlens") and not measures_time and not tag.startswith("factorlens_best/"):
            values.setdefault((tag, step), []).append(value)
    return values


def run_to_end(run: Run, folder: Path, kills: Sequence[tuple[int, str]] = ()) -> tuple[int, dict[str, Any]]:
    """Trains a run, resuming it after every kill, until it ends by itself.

    Returns:
        How often it was killed, and what it wrote at its end.

    Raises:
        RuntimeError: The process ended otherwise than by SIGKILL or success.
    """
    folder.mkdir(parents=True, exist_ok=True)
    killed = 0
    for kill in [*kills, None]:
        process = PROCESSES.Process(target=train, args=(run, folder, kill))
        process.start()
        process.join(TIMEOUT)
        if process.exitcode == 0:
            break
        if process.exitcode != -signal.SIGKILL:
            process.kill()
            log = (folder / "log.txt").read_text()[-3000:]
            raise RuntimeError(f"Run {run.name!r} ended with exit code {process.exitcode}; end of its log: {log}")
        killed += 1
    return killed, json.loads((folder / "end.json").read_text())


def differences(whole: Path, killed: Path) -> list[str]:
    """The points in which two runs differ, in words; none where they agree bit for bit."""
    a = points(whole)
    b = points(killed)
    words = [f"{tag} at {step}: only in the uninterrupted run" for tag, step in a.keys() - b.keys()]
    words += [f"{tag} at {step}: only in the killed run" for tag, step in b.keys() - a.keys()]
    for point in a.keys() & b.keys():
        if set(a[point]) != set(b[point]):
            words.append(f"{point[0]} at {point[1]}: {a[point][0]!r} and {b[point]!r}")
    return sorted(words)


def compare(run: Run, folder: Path, kills: Sequence[tuple[int, str]]) -> Outcome:
    """Trains one run uninterrupted and killed, side by side, and compares the two."""
    with ThreadPoolExecutor() as pool:  # each thread only waits for its processes
        future_whole = pool.submit(run_to_end, run, folder / "whole")
        future_killed = pool.submit(run_to_end, run, folder / "killed", kills)
        _, end_whole = future_whole.result()
        n_killed, end_killed = future_killed.result()
    found = differences(folder / "whole", folder / "killed")
    return Outcome(
        run=run.name,
        kills=n_killed,
        points=len(points(folder / "whole")),
        differing=len(found),
        stopped_whole=end_whole["epoch"],
        stopped_killed=end_killed["epoch"],
        same_weights=end_whole["weights"] == end_killed["weights"],
        first_differences=tuple(found[:5]),
    )

"""Runs the experiments, keeps what the others left, writes results, pictures and the section of the README.

python -m benchmarks.papers --data-dir DATA [--quick] [--only classes subsets epochs sorted]

One thread, about ten minutes. ``--only`` runs some of the experiments and takes the others from the results that are
there; without a name it runs none and writes the section and the pictures again. ``--quick`` prints and writes nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import torch

from benchmarks.papers import classes, epochs, epochs_controls, sorted_loader, subsets
from benchmarks.papers.networks import Networks
from benchmarks.papers.plot import draw
from benchmarks.papers.report import section, summaries
from benchmarks.papers.settings import FULL, QUICK, Settings
from benchmarks.papers.train import digits
from benchmarks.reporting import ROOT, Figure, machine, print_figures, results_path, write_json, write_section

ROWS = ("classes", "subsets", "epochs", "sorted")
PICTURES = ROOT / "docs" / "papers"


def main(arguments: Sequence[str] | None = None) -> None:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with MNIST/raw")
    parser.add_argument("--quick", action="store_true", help="two seeds, hardly trained: does it run? Writes nothing")
    parser.add_argument("--only", nargs="*", choices=ROWS, default=ROWS, help="which experiments to run")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    began = machine(["scipy"])
    found = measure(args.data_dir, QUICK if args.quick else FULL, args.only)
    if args.quick:
        print(f"QUICK RUN: too little training and too few seeds to say anything.\n\n{section(dict(found))}")
        return
    rows = {name: row for name, row in _earlier().items() if name not in args.only}
    for name, row in found:  # kept as soon as it is done
        rows[name] = row
        write_json("papers", "papers", {"machine": began, "summaries": summaries(rows), "rows": rows}, figures(rows))
    if not rows:
        parser.error(f"--only: found no name and no earlier results; name at least one of {', '.join(ROWS)}.")
    rows = _earlier()  # as rounded, so that the section is the same whenever it is written again
    write_section("papers", "papers", section(rows))
    for path in draw(rows, PICTURES):
        print(f"{path} {path.stat().st_size / 1e3:.0f} KB")
    print_figures(figures(rows))


def measure(folder: Path, settings: Settings, only: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every experiment asked for: its name, and the processor's seconds, the date, what was measured."""
    data = digits(folder, settings.probe)
    networks = Networks(data, settings)
    experiments: dict[str, Callable[[], Any]] = {
        "classes": lambda: classes.measure(networks),
        "subsets": lambda: subsets.measure(networks),
        "epochs": lambda: {
            "records": epochs.measure(most=settings.records),
            "controls": epochs_controls.measure(folder, settings),
        },
        "sorted": lambda: sorted_loader.measure(data, settings),
    }
    for name in (row for row in ROWS if row in only):
        start = time.process_time()
        measured = experiments[name]()
        seconds = time.process_time() - start
        date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        print(f"{name}: {seconds:.0f} processor seconds", flush=True)
        yield name, {"seconds": seconds, "date": date, "measured": measured}


def figures(rows: Mapping[str, Any]) -> list[Figure]:
    """The closing lines: what it cost, and on how many seeds the least of the experiments stands."""
    minutes = sum(row["seconds"] for row in rows.values()) / 60
    least = min(seeds(row["measured"]) for row in rows.values())
    return [Figure("papers_processor_minutes", minutes, 12, True), Figure("papers_seeds", least, 5)]


def seeds(measured: Any) -> int:
    """How many seeds an experiment of its own trained."""
    trained = measured["controls"] if isinstance(measured, dict) else measured
    return len({net["seed"] for net in trained})


def _earlier() -> dict[str, Any]:
    """The rows of the results that are there."""
    path = results_path("papers", "papers.json")
    return dict(json.loads(path.read_text())["rows"]) if path.exists() else {}


if __name__ == "__main__":
    main()

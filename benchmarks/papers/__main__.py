"""Runs the experiments on the papers' claims; writes results, figures and the section of the README.

    python -m benchmarks.papers --data-dir DATA [--quick] [--only classes subsets epochs sorted]

One thread, about ten minutes. ``--only`` runs some of the experiments and takes the others from the existing results;
without a name it runs none and writes the section and the figures again. ``--quick`` prints and writes nothing.
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
FIGURES = ROOT / "docs" / "papers"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with MNIST/raw")
    parser.add_argument("--quick", action="store_true", help="two seeds, little training; writes nothing")
    parser.add_argument("--only", nargs="*", choices=ROWS, default=ROWS, help="which experiments to run")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    about = machine(["scipy"])
    found = measure(args.data_dir, QUICK if args.quick else FULL, args.only)
    if args.quick:
        print(f"QUICK RUN: too little training and too few seeds to say anything.\n\n{section(dict(found))}")
        return
    rows = {name: row for name, row in _earlier().items() if name not in args.only}
    for name, row in found:  # written as soon as it is complete
        rows[name] = row
        write_json("papers", "papers", {"machine": about, "summaries": summaries(rows), "rows": rows}, figures(rows))
    if not rows:
        parser.error(f"--only: found no name and no existing results; name at least one of {', '.join(ROWS)}.")
    rows = _earlier()  # rounded as in the file, so that the section is the same whenever it is written again
    write_section("papers", "papers", section(rows))
    for path in draw(rows, FIGURES):
        print(f"{path} {path.stat().st_size / 1e3:.0f} KB")
    print_figures(figures(rows))


def measure(folder: Path, settings: Settings, only: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Runs the named experiments; yields the name, and the processor seconds, the date and the measurements."""
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
    for name in ROWS:
        if name not in only:
            continue
        start = time.process_time()
        measured = experiments[name]()
        seconds = time.process_time() - start
        date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        print(f"{name}: {seconds:.0f} processor seconds", flush=True)
        yield name, {"seconds": seconds, "date": date, "measured": measured}


def figures(rows: Mapping[str, Any]) -> list[Figure]:
    """The figures: processor minutes, and the smallest number of seeds of an experiment."""
    minutes = sum(row["seconds"] for row in rows.values()) / 60
    least = min(seeds(row["measured"]) for row in rows.values())
    return [Figure("papers_processor_minutes", minutes, 12, True), Figure("papers_seeds", least, 5)]


def seeds(measured: Any) -> int:
    """The number of seeds of an experiment."""
    trained = measured["controls"] if isinstance(measured, dict) else measured
    return len({net["seed"] for net in trained})


def _earlier() -> dict[str, Any]:
    """The rows of the existing results."""
    path = results_path("papers", "papers.json")
    return dict(json.loads(path.read_text())["rows"]) if path.exists() else {}


if __name__ == "__main__":
    main()

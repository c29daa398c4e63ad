"""Cost of an observation and its parts as models, samples, ranks and processes grow, part by part.

    python -m benchmarks.scale [--data-dir DIR] [--parts spectra,floors] [--quick]

One thread, processor seconds, and the calls that are compared take turns, where the section says nothing else.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

# The numerical libraries read the number of threads when they are imported.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import torch

from benchmarks.concepts.part import Measured
from benchmarks.reporting import machine, print_figures, write_json, write_section
from benchmarks.scale import floors, growth, memory, passes, ranks, sharded, shares, spectra
from benchmarks.solver.networks import DATA

#: Name → what measures it, given the folder of the data and whether to be quick.
PARTS: dict[str, Callable[[Path, bool], Measured]] = {
    "sharded": sharded.measure,
    "shares": shares.measure,
    "spectra": spectra.measure,
    "floors": floors.measure,
    "memory": memory.measure,
    "passes": passes.measure,
    "growth": growth.measure,
    "ranks": ranks.measure,
}


def main() -> None:
    """Measures the parts, writes their results and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=DATA, help="folder with MNIST/raw and cifar10.npz")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="smaller models and fewer repetitions")
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures = []
    for name in args.parts.split(","):
        measured = PARTS[name](args.data_dir, args.quick)
        about = machine(["weightwatcher", "lightning"])
        write_json("scale", name, {"machine": about, **measured.payload}, measured.figures)
        write_section("scale", name, measured.section)
        figures += measured.figures
    print_figures(figures)


if __name__ == "__main__":
    main()

"""Concepts and the factorizations behind them, part by part.

    python -m benchmarks.concepts [--data-dir DIR] [--parts parafac2,late_fit] [--quick]

One thread, one process, processor seconds; the calls that are compared take turns.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

# The numerical libraries read the number of threads when they are imported.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import torch

from benchmarks.concepts import (
    clarity,
    cost,
    depth,
    group_sparsity,
    late_fit,
    masks,
    other_probe,
    parafac2,
    single_class,
    stability,
    tcav,
    timeline,
    utilisation,
)
from benchmarks.concepts.part import Measured
from benchmarks.concepts.published import write_known
from benchmarks.reporting import machine, print_figures, write_json, write_section
from benchmarks.solver.networks import DATA

#: Name → what measures it, given the folder of the data and whether to be quick.
PARTS: dict[str, Callable[[Path, bool], Measured]] = {
    "parafac2": parafac2.measure,
    "group_sparsity": group_sparsity.measure,
    "late_fit": late_fit.measure,
    "cost": cost.measure,
    "stability": stability.measure,
    "timeline": timeline.measure,
    "tcav": tcav.measure,
    "clarity": clarity.measure,
    "masks": masks.measure,
    "single_class": single_class.measure,
    "depth": depth.measure,
    "other_probe": other_probe.measure,
    "utilisation": utilisation.measure,
}


def main() -> None:
    """Measures the parts, writes their results and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=DATA, help="folder with MNIST/raw and cifar10.npz")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="fewer starts, data sets and repetitions")
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures = []
    for name in args.parts.split(","):
        measured = PARTS[name](args.data_dir, args.quick)
        about = machine(["tensorly", "scipy", "scikit-learn", "captum"])
        write_json("concepts", name, {"machine": about, **measured.payload}, measured.figures)
        write_section("concepts", name, measured.section)
        figures += measured.figures
    write_known()
    print_figures(figures)


if __name__ == "__main__":
    main()

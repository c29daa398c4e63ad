"""Signals of singular vectors and the hierarchy of them, part by part.

    python -m benchmarks.hierarchy [--data-dir DIR] [--parts oracles,nulls] [--quick]

One thread, one process, processor seconds; the calls that are compared take turns.
"""

from __future__ import annotations

import os

# The numerical libraries read the number of threads when they are imported.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

from benchmarks.hierarchy import nulls, oracles, planted, structure, training
from benchmarks.part import Measure, measure_parts
from benchmarks.reporting import print_figures

#: Name → what measures it.
PARTS: dict[str, Measure] = {
    "oracles": oracles.measure,
    "planted": planted.measure,
    "structure": structure.measure,
    "nulls": nulls.measure,
    "training": training.measure,
}


def main() -> None:
    """Measures the parts, writes their results and prints the figures."""
    print_figures(measure_parts("hierarchy", __doc__, PARTS, ["torchvision", "networkx", "scipy", "xgi"]))


if __name__ == "__main__":
    main()

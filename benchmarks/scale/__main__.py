"""Cost of an observation and its parts as models, samples, ranks and processes grow, part by part.

    python -m benchmarks.scale [--data-dir DIR] [--parts spectra,floors] [--quick]

One thread, processor seconds, and the calls that are compared take turns, where the section says nothing else.
"""

from __future__ import annotations

import os

# The numerical libraries read the number of threads when they are imported.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

from benchmarks.part import Measure, measure_parts
from benchmarks.reporting import print_figures
from benchmarks.scale import blocking, floors, growth, memory, passes, ranks, sharded, shares, spectra

#: Name → what measures it.
PARTS: dict[str, Measure] = {
    "sharded": sharded.measure,
    "shares": shares.measure,
    "spectra": spectra.measure,
    "blocking": blocking.measure,
    "floors": floors.measure,
    "memory": memory.measure,
    "passes": passes.measure,
    "growth": growth.measure,
    "ranks": ranks.measure,
}


def main() -> None:
    """Measures the parts, writes their results and prints the figures."""
    figures = measure_parts("scale", __doc__, PARTS, ["weightwatcher", "lightning"])
    print_figures(figures)


if __name__ == "__main__":
    main()

"""Feature visualisation, deconvnets, node importance and node health, part by part.

    python -m benchmarks.visualization [--data-dir DIR] [--parts speed,quality] [--quick]

One thread, one process, processor seconds; the calls that are compared take turns.
"""

from __future__ import annotations

import os

# The numerical libraries read the number of threads when they are imported.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

from benchmarks.part import Measure, measure_parts
from benchmarks.reporting import print_figures
from benchmarks.visualization import deconvnet, efl, health, importance, quality, speed, spread

#: Name → what measures it.
PARTS: dict[str, Measure] = {
    "speed": speed.measure,
    "quality": quality.measure,
    "efl": efl.measure,
    "deconvnet": deconvnet.measure,
    "health": health.measure,
    "importance": importance.measure,
    "spread": spread.measure,
}


def main() -> None:
    """Measures the parts, writes their results and prints the figures."""
    print_figures(measure_parts("visualization", __doc__, PARTS, ["torch", "torchvision", "captum"]))


if __name__ == "__main__":
    main()

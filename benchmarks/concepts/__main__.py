"""Concepts and the factorizations behind them, part by part.

    python -m benchmarks.concepts [--data-dir DIR] [--parts parafac2,late_fit] [--quick]

One thread, one process, processor seconds; the calls that are compared take turns.
"""

from __future__ import annotations

import os

# The numerical libraries read the number of threads when they are imported.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

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
from benchmarks.concepts.published import write_known
from benchmarks.part import Measure, measure_parts
from benchmarks.reporting import print_figures

#: Name → what measures it.
PARTS: dict[str, Measure] = {
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
    figures = measure_parts("concepts", __doc__, PARTS, ["tensorly", "scipy", "scikit-learn", "captum"])
    write_known()
    print_figures(figures)


if __name__ == "__main__":
    main()

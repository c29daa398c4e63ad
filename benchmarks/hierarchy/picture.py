"""The picture of docs/hierarchy.md: the hierarchy of one layer beside its nulls.

python -m benchmarks.hierarchy.picture [--data-dir DIR]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.hierarchy.cases import CASES, P, Q, case_images, pairs
from benchmarks.reporting import ROOT
from benchmarks.solver.networks import DATA
from lightning_factorlens.hierarchy import hierarchy, hierarchy_report, significance
from lightning_factorlens.plots import hasse_figure

NETWORK = "mnist_network"
LAYER = "conv2"


def main() -> None:
    """Draws the figure and prints the statements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    data_dir = parser.parse_args().data_dir
    found = list(pairs(NETWORK, data_dir, quick=False))
    signals = found[0].trained.signals[LAYER]
    untrained = [pair.untrained.signals[LAYER] for pair in found]
    labels = case_images(NETWORK, data_dir)[1]
    made = hierarchy(significance(signals, Q), labels, P, names=CASES[NETWORK].names)
    report = hierarchy_report(made, signals, untrained)
    print(report.summary())
    figure = hasse_figure(report)
    assert figure is not None
    figure.savefig(ROOT / "docs" / "hierarchy.png", facecolor="white")


if __name__ == "__main__":
    main()

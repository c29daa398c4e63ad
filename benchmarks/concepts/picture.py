"""Draws the picture of docs/concepts.md: ``python -m benchmarks.concepts.picture [--data-dir DIR]``.

The network is trained in two minutes, or read from the cache of `benchmarks.concepts.cifar`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.concepts.cifar import load_cifar, train_network
from benchmarks.solver.networks import DATA
from lightning_factorlens import FactorLens, plots
from lightning_factorlens.concepts import concept_page, name_concepts

CLASSES = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
IMAGES = 400
PICTURE = Path(__file__).resolve().parents[2] / "docs" / "concepts.png"


def main() -> None:
    """Finds ten concepts and draws their contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=DATA, help="folder with cifar10.npz")
    images = load_cifar(parser.parse_args().data_dir)
    lens = FactorLens(train_network(0, images), outputs="classes")
    stability = lens.concept_stability(images.test[:IMAGES], rank=10)
    names = name_concepts(stability.concepts, class_names=CLASSES)
    page = concept_page(stability.concepts, names, stability)
    plots.concept_sheet_figure(page).savefig(PICTURE, facecolor="white")


if __name__ == "__main__":
    main()

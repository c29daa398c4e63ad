"""Draws the picture of ``docs/visualization.md``: ``python -m benchmarks.visualization.picture [--data-dir DIR]``."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.networks import cifar_cnn, load_images
from benchmarks.reporting import ROOT
from benchmarks.solver.networks import DATA
from lightning_factorlens import FactorLens
from lightning_factorlens.plots import feature_visualization_figure
from lightning_factorlens.visualization import leading_vectors

PAGE = ROOT / "docs" / "visualization.png"
LAYER = "conv4"
VECTORS = 6
PROBE = 500


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    data_dir = parser.parse_args().data_dir
    torch.set_num_threads(1)
    model = cifar_cnn(0, data_dir=data_dir)
    images = load_images("cifar_cnn", data_dir).test[:PROBE]
    found = FactorLens(model).visualize(images, leading_vectors(model, LAYER, VECTORS), "natural")
    figure = feature_visualization_figure(found, "What six singular vectors respond to")
    assert figure is not None
    figure.savefig(PAGE, facecolor="white")


if __name__ == "__main__":
    main()

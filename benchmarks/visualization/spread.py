"""Units matched between training seeds, beside those of untrained networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks.networks import SEEDS, cifar_cnn, load_images, mnist_network
from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens.linalg.matching import match_rows
from lightning_factorlens.results import LayerSpread
from lightning_factorlens.visualization import unit_spread, weight_pictures

#: Images on which responses are compared.
IMAGES = 500
NETWORKS = {"mnist_network": mnist_network, "cifar_cnn": cifar_cnn}


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures the cosines of matched filters and responses over three seeds."""
    rows = []
    values: dict[str, Any] = {}
    for name, make in NETWORKS.items():
        trained = [make(seed) for seed in range(SEEDS)]
        untrained = [make(seed, trained=False) for seed in range(SEEDS)]
        images = load_images(name, data_dir).test[: IMAGES // (4 if quick else 1)]
        by_filters = unit_spread(trained, untrained)
        by_responses = unit_spread(trained, untrained, images, by="responses")
        for layer, found in by_filters.layers.items():
            other = by_responses[layer]
            rows.append([f"{name}, {layer}", *_cells(found), *_cells(other)])
            values[f"{name}/{layer}"] = {
                "filters": found.cosine.mean(1).tolist(),
                "filters_untrained": found.untrained.mean(1).tolist(),
                "responses": other.cosine.mean(1).tolist(),
                "responses_untrained": other.untrained.mean(1).tolist(),
            }
    text = (
        f"## Spread over seeds\n\n`python -m benchmarks.visualization --parts spread`. {SEEDS} seeds, so three pairs "
        "of runs: mean cosine of matched units, lowest to highest pair, of trained networks and of untrained ones. "
        f"Responses: largest activations in {IMAGES} test images, minus their mean.\n\n"
    )
    header = ["layer", "filters", "untrained", "responses", "untrained"]
    figures = [Figure("spread_of_a_permuted_network", permuted_cosine(), 0.999)]
    return Measured(text + markdown_table(header, rows), values, figures)


def permuted_cosine() -> float:
    """Smallest cosine between the filters of a network and of the same one with its units in another order."""
    filters = weight_pictures(mnist_network(0), "conv1").pictures.flatten(1)
    order = torch.randperm(len(filters), generator=torch.Generator().manual_seed(0))
    return float(match_rows(filters, filters[order])[1].min())


def _cells(layer: LayerSpread) -> list[str]:
    cells = []
    for cosine in (layer.cosine, layer.untrained):
        means = cosine.mean(1)
        cells.append(f"{float(means.mean()):.2f} ({float(means.min()):.2f} to {float(means.max()):.2f})")
    return cells

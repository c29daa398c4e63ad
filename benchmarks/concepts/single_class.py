"""A network that has seen one digit only, beside one that has seen all and one that has seen none.

Saini and Papalexakis (2018), "Characterizing & exploring deep CNN representations using factorization", show a network
trained on a single class to be under-utilised, and its factor images to look like that class.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from benchmarks.concepts import mnist
from benchmarks.concepts.cases import SAMPLES, captured_layers
from benchmarks.concepts.cifar import Images
from benchmarks.concepts.spread import Spread
from benchmarks.part import Measured
from benchmarks.reporting import Figure
from lightning_factorlens import FactorLens
from lightning_factorlens.concepts import latent_image
from lightning_factorlens.concepts.similarity import column_cosine
from lightning_factorlens.metrics.rankme import rankme

RANK = 10
DIGIT = 9
SEEDS = 5
FITS = ("all", "late")
NETWORKS = {"nine": "trained on the digit 9 only", "full": "trained on all digits", "untrained": "not trained"}
COLUMNS = {
    "off_diagonal_all": "off-diagonal mean, last hidden layer, fit to all",
    "off_diagonal_late": "the same, fit to the last two layers",
    "effective_rank": "effective rank of the last hidden layer",
    "mean_nine_all": "cosine of factor images to the mean 9, fit to all",
    "mean_nine_late": "the same, fit to the last two layers",
    "mean_nine_probe_all": "the same on a probe of nines, fit to all",
}


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures all networks with five seeds, or two."""
    images = mnist.load_mnist(data_dir)
    spread = Spread()
    seeds = range(2 if quick else SEEDS)
    for seed in seeds:
        spread.add(measure_seed(images, seed))
    figures = [
        Figure("single_class_off_diagonal_nine", spread.mean("nine_off_diagonal_all"), 0.95),
        Figure("single_class_off_diagonal_full", spread.mean("full_off_diagonal_all"), 0.6, at_most=True),
        Figure("single_class_effective_rank_nine", spread.mean("nine_effective_rank"), 2, at_most=True),
        Figure("single_class_effective_rank_full", spread.mean("full_effective_rank"), 15),
    ]
    table = spread.table("network", COLUMNS, NETWORKS)
    text = (
        f"## One class\n\n`python -m benchmarks.concepts --parts single_class`. A CNN ({mnist.WIDTHS}, {mnist.HIDDEN}) "
        f"after {mnist.STEPS} steps; {len(seeds)} training seeds, each with another probe of {SAMPLES} test images of "
        f"all digits; rank {RANK}. Mean, lowest and highest value. The mean of the images themselves has the cosine "
        f"{spread.cell('mean_image')} to the mean 9, single nines {spread.cell('nines')}.\n\n{table}"
    )
    return Measured(text, {"values": spread.values}, figures)


def measure_seed(images: Images, seed: int) -> dict[str, float]:
    """All figures of the three networks of one seed."""
    rows = slice(seed * SAMPLES, (seed + 1) * SAMPLES)
    probe = images.test[rows]
    nines = images.test[images.test_labels == DIGIT]
    mean_nine = images.train[images.train_labels == DIGIT].mean(0).flatten().double()
    networks = {
        "nine": mnist.train_network(seed, images, digits=(DIGIT,)),
        "full": mnist.train_network(seed, images),
        "untrained": mnist.make_network(seed).eval(),
    }
    found = {
        "mean_image": float(cosines(probe.mean(0, keepdim=True), mean_nine)),
        "nines": float(cosines(nines, mean_nine).mean()),
    }
    for name, model in networks.items():
        for column, value in measure_network(model, probe, nines, mean_nine).items():
            found[f"{name}_{column}"] = value
    return found


def measure_network(model: nn.Module, probe: Tensor, nines: Tensor, mean_nine: Tensor) -> dict[str, float]:
    """Similarity and effective rank of the last hidden layer, and the factor images beside the mean 9."""
    lens = FactorLens(model, outputs="classes")
    found = {"effective_rank": rankme(captured_layers(model, probe)[-1].samples)}
    for fit in FITS:
        concepts = lens.concepts(probe, RANK, fit_on=fit)
        cosine = column_cosine(list(concepts.layers())[-1].W)
        found[f"off_diagonal_{fit}"] = float(cosine.sum() - RANK) / (RANK * (RANK - 1))
        latent = torch.stack([latent_image(concepts, k) for k in range(RANK)])
        found[f"mean_nine_{fit}"] = float(cosines(latent, mean_nine).mean())
    concepts = lens.concepts(nines, RANK, fit_on="all")
    latent = torch.stack([latent_image(concepts, k) for k in range(RANK)])
    found["mean_nine_probe_all"] = float(cosines(latent, mean_nine).mean())
    return found


def cosines(images: Tensor, direction: Tensor) -> Tensor:
    """The cosine of each image with another, shape (n,); 0 for an image of zeros."""
    return normalize(images.flatten(1).double(), dim=1) @ normalize(direction, dim=0)

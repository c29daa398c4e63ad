"""Training on batches sorted by class, compared with training on shuffled batches, in pairs of networks.

The claim is that of Saini and Papalexakis (2018), "A peek into the hidden layers of a convolutional neural network
through a factorization lens". Both networks of a pair start from the same weights and train on the same images, equally
often and in equally many steps. The sorted loader yields all images of class 0, then all of class 1 and so on, in every
epoch; its network is measured after class 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.papers.curves import CurveMeasurement, quantities
from benchmarks.papers.settings import BATCH, NET, RATE, Settings
from benchmarks.papers.statistics import mean, seed_weights, sign_test
from benchmarks.papers.train import Digits, accuracy, random_batches, train
from benchmarks.stopping.networks import build

TITLE = "Batches sorted by class"
LOADERS = ("sorted", "shuffled")
Net = dict[str, Any]


def measure(data: Digits, settings: Settings) -> list[Net]:
    """One entry per seed and loader."""
    return [run(data, settings, seed, loader) for seed in range(settings.sorted_seeds) for loader in LOADERS]


def run(data: Digits, settings: Settings, seed: int, loader: str) -> Net:
    """Trains one network and returns its accuracy after every epoch and its curves after the last."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(data.train_y), generator=generator)[: settings.sorted_images]
    x = data.train_x[chosen]
    y = data.train_y[chosen]
    model = build(NET, (1, 28, 28), 0.0, seed)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    accuracies = []
    for _ in range(settings.sorted_epochs):
        train(model, optimizer, x, y, batches(y, loader, generator))
        accuracies.append(accuracy(model, data.test_x, data.test_y))
    return {"seed": seed, "loader": loader, "accuracies": accuracies, **CurveMeasurement(model, settings)(data.probe)}


def batches(labels: Tensor, loader: str, generator: torch.Generator) -> list[Tensor]:
    """The batches of indices of one epoch."""
    if loader == "sorted":
        return list(labels.argsort(stable=True).split(BATCH))
    return list(random_batches(len(labels), -(-len(labels) // BATCH), generator))


def summary(nets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The difference sorted minus shuffled after the last epoch, paired, by definition and for other quantities.

    Returns:
        By quantity: ``sorted`` and ``shuffled`` (means), ``difference``, and ``below``, ``of``, ``p`` of a sign test.
    """
    found = {**quantities(nets), "accuracy": [n["accuracies"][-1] for n in nets]}
    return {name: _pairs(nets, values) for name, values in found.items()}


def _pairs(nets: Sequence[Mapping[str, Any]], values: Sequence[float]) -> dict[str, Any]:
    by = {(n["loader"], n["seed"]): v for n, v in zip(nets, values)}
    seeds = sorted({seed for _, seed in by})
    weights = seed_weights(seeds)
    columns = {loader: [by[loader, seed] for seed in seeds] for loader in LOADERS}
    difference = [a - b for a, b in zip(*columns.values())]
    below, count, p = sign_test(difference)
    means = {loader: mean(column, weights) for loader, column in columns.items()}
    return {**means, "difference": mean(difference, weights), "below": below, "of": count, "p": p}

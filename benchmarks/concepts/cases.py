"""What the parts of the benchmark measure: a trained network, the same one untrained, and images as a probe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.concepts import cifar, mnist
from lightning_factorlens import FactorLens
from lightning_factorlens.capture import capture_activations, isolate_model, select_layers, trace_layers
from lightning_factorlens.results import Block

#: Images of a probe, and the ranks at which concepts are found.
SAMPLES = 1000
RANKS = (10, 20)
#: Training seeds, and probes for each of them.
FULL = 3


@dataclass(frozen=True)
class Case:
    """One network and some test images with their labels, which are used for nothing but figures.

    Attributes:
        model: The trained network.
        untrained: The network before training.
        images: The probe, shape (N, C, H, W).
        labels: The true classes, shape (N,).
        seed: Training seed.
        accuracy: Share of all test images that the network classifies correctly.
    """

    model: nn.Module
    untrained: nn.Module
    images: Tensor
    labels: Tensor
    seed: int
    accuracy: float

    def lens(self) -> FactorLens:
        """A lens on the trained network."""
        return FactorLens(self.model, outputs="classes")


@dataclass(frozen=True)
class DataSet:
    """How the cases of a data set are made.

    Attributes:
        title: Its name in tables.
        load: The images in a folder.
        train: The trained network of a seed.
        make: The untrained network of a seed.
    """

    title: str
    load: Callable[[Path], cifar.Images]
    train: Callable[[int, cifar.Images], nn.Module]
    make: Callable[[int], nn.Module]


DATA_SETS = {
    "cifar": DataSet("CIFAR-10", lru_cache(maxsize=1)(cifar.load_cifar), cifar.train_network, cifar.make_network),
    "mnist": DataSet("MNIST", lru_cache(maxsize=1)(mnist.load_mnist), mnist.train_network, mnist.make_network),
}


def make_cases(name: str, data_dir: Path, quick: bool) -> Iterator[Case]:
    """The cases of a data set: one, or three training seeds with three probes each that share no image.

    Args:
        name: A key of `DATA_SETS`.
        data_dir: Folder of the data.
        quick: Whether one case is enough.
    """
    data_set = DATA_SETS[name]
    images = data_set.load(data_dir)
    count = 1 if quick else FULL
    for seed in range(count):
        model = data_set.train(seed, images)
        untrained = data_set.make(seed).eval()
        reached = cifar.accuracy(model, images)
        for part in range(count):
            rows = slice(part * SAMPLES, (part + 1) * SAMPLES)
            yield Case(model, untrained, images.test[rows], images.test_labels[rows], seed, reached)


def captured_layers(model: nn.Module, images: Tensor) -> list[Block]:
    """The activations that the lens factorises."""
    with isolate_model(model), torch.no_grad():
        table = select_layers(trace_layers(model, model, images[:4]))
        return capture_activations(model, model, images, table, max_neurons_per_layer=4096).layers


def describe(quick: bool) -> str:
    """The number of seeds and probes, in words."""
    count = 1 if quick else FULL
    return f"Training seeds: {count}, each with {count} probes of {SAMPLES} test images."

"""What the parts of the benchmark measure: three networks, trained and untrained, and test images of every class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.networks import SEEDS, load_images, network_at, network_checkpoints
from benchmarks.reporting import markdown_table
from lightning_factorlens import FactorLens
from lightning_factorlens.concepts.predictions import predicted_classes
from lightning_factorlens.results import Signals

#: Test images of each class.
PER_CLASS = 200
#: The quantile of the signals, and the share of a class, that make a membership: the defaults of the package.
Q = 0.9
P = 0.75
CIFAR_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
VEHICLES = ("airplane", "automobile", "ship", "truck")
ANIMALS_AND_VEHICLES = {name: "vehicle" if name in VEHICLES else "animal" for name in CIFAR_NAMES}


@dataclass(frozen=True)
class NetworkCase:
    """A network of `benchmarks.networks` and the layers that are looked at.

    Attributes:
        title: Its name in tables.
        layers: Names of the layers.
        claimed: Those of them that must tell trained from untrained networks.
        names: A word for each class.
    """

    title: str
    layers: tuple[str, ...]
    claimed: tuple[str, ...]
    names: tuple[str, ...]


CASES = {
    "mnist_network": NetworkCase("MNIST", ("conv2", "fc1", "fc2"), ("fc1",), tuple("0123456789")),
    "cifar_cnn": NetworkCase("CIFAR-10, CNN", ("conv2", "conv3", "conv4", "fc"), ("conv4", "fc"), CIFAR_NAMES),
    "cifar_resnet18": NetworkCase(
        "CIFAR-10, ResNet-18 of width 16",
        ("layer1.1.conv2", "layer2.1.conv2", "layer3.1.conv2", "layer4.1.conv2", "fc"),
        ("layer4.1.conv2", "fc"),
        CIFAR_NAMES,
    ),
}


@dataclass(frozen=True)
class State:
    """The signals of one network in one state.

    Attributes:
        signals: By layer.
        predictions: Predicted class of every image, shape (N,).
        accuracy: Share of the images that it classifies correctly.
    """

    signals: dict[str, Signals]
    predictions: Tensor
    accuracy: float


@dataclass(frozen=True)
class Pair:
    """The trained and the untrained network of one seed.

    Attributes:
        seed: Of the initial weights and of the order of the images.
        trained: After training.
        untrained: Before training.
    """

    seed: int
    trained: State
    untrained: State


def case_images(name: str, data_dir: Path) -> tuple[Tensor, Tensor]:
    """The same number of test images of each class, and their true classes, which serve as names alone."""
    images = load_images(name, data_dir)
    positions = [(images.test_labels == label).nonzero()[:PER_CLASS, 0] for label in range(10)]
    chosen = torch.cat(positions).sort().values
    return images.test[chosen], images.test_labels[chosen]


def pairs(name: str, data_dir: Path, quick: bool) -> Iterator[Pair]:
    """The trained and untrained network of every seed."""
    images, labels = case_images(name, data_dir)
    for seed in range(1 if quick else SEEDS):
        checkpoints = network_checkpoints(name, seed, data_dir)
        untrained, trained = (network_at(name, checkpoints[epoch]) for epoch in (0, -1))
        layers = CASES[name].layers
        yield Pair(seed, state_of(trained, images, labels, layers), state_of(untrained, images, labels, layers))


def state_of(model: nn.Module, images: Tensor, labels: Tensor, layers: tuple[str, ...]) -> State:
    """The signals and the predictions of a network."""
    signals = FactorLens(model, outputs="classes").signals(images, layers)
    with torch.no_grad():
        scores = torch.cat([model(part) for part in images.split(250)])
    predictions = predicted_classes(scores)
    assert predictions is not None
    return State(dict(signals), predictions, float((predictions == labels).double().mean()))


def pixel_signals(images: Tensor) -> Signals:
    """The pixels as if they were the signals of a layer."""
    pixels = images.flatten(1)
    return Signals("pixels", pixels, torch.ones(pixels.shape[1]), torch.zeros(pixels.shape[1], dtype=torch.int64))


def spread(values: list[float], digits: int = 2) -> str:
    """The lowest and the highest value as text."""
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def table_of(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return markdown_table(header, rows)

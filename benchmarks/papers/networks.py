"""The networks of figures 2(a) and 2(b): trained on a part of MNIST for a given number of steps, then measured.

Two controls are measured with every set of groups: an untrained network, and one that memorized 600 random labels. Both
predict at chance level; by the paper's claim their ranks should be the lowest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.papers.curves import CurveMeasurement
from benchmarks.papers.settings import NET, RATE, Settings
from benchmarks.papers.train import Digits, accuracy, random_batches, train
from benchmarks.stopping.data import CLASSES, wrong_labels
from benchmarks.stopping.networks import build

Net = dict[str, Any]


@dataclass(frozen=True)
class TrainingSet:
    """The training set of a network.

    Attributes:
        classes: Number of classes, drawn by the seed.
        images: Largest number of their images, drawn by the seed; 0 for a network that is not trained.
        random_labels: Whether the labels are independent of the images.
    """

    classes: int = CLASSES
    images: int = 60_000
    random_labels: bool = False


CONTROLS = {"untrained": TrainingSet(images=0), "random labels": TrainingSet(images=600, random_labels=True)}


class Networks:
    """Trains and measures networks; a network that several experiments need is trained once.

    Args:
        data: MNIST.
        settings: Steps, probe and ranks.
    """

    def __init__(self, data: Digits, settings: Settings) -> None:
        self.data = data
        self.settings = settings
        self._done: dict[tuple[TrainingSet, int], Net] = {}

    def net(self, trained_on: TrainingSet, seed: int) -> Net:
        """The accuracy and the curves of a network."""
        if (trained_on, seed) not in self._done:
            self._done[trained_on, seed] = self._net(trained_on, seed)
        return self._done[trained_on, seed]

    def _net(self, trained_on: TrainingSet, seed: int) -> Net:
        data = self.data
        rng = np.random.default_rng(seed)
        labels = data.train_y.numpy()
        classes = rng.permutation(CLASSES)[: trained_on.classes]
        chosen = rng.permutation(len(labels))
        chosen = chosen[np.isin(labels[chosen], classes)][: trained_on.images]
        # Nine tenths of the labels change to one of the nine others: every label is then equally likely on every image.
        given = wrong_labels(labels[chosen], 0.9, rng) if trained_on.random_labels else labels[chosen]
        x = data.train_x[torch.from_numpy(chosen)]
        y = torch.from_numpy(given)
        model = build(NET, (1, 28, 28), 0.0, seed)
        optimizer = torch.optim.Adam(model.parameters(), RATE)
        if len(y):
            train(
                model, optimizer, x, y, random_batches(len(y), self.settings.steps, torch.Generator().manual_seed(seed))
            )
        fitted = accuracy(model, x[:2000], y[:2000]) if len(y) else None
        test_accuracy = accuracy(model, data.test_x, data.test_y)
        curves = CurveMeasurement(model, self.settings)(data.probe)
        return {"seed": seed, "accuracy": test_accuracy, "train_accuracy": fitted, **curves}

    def measure(self, groups: dict[str, tuple[float, TrainingSet]]) -> list[Net]:
        """All groups and both controls, with all seeds.

        Args:
            groups: By name, the number by which the claim orders the groups, and the training set.
        """
        everything = {**groups, **{name: (None, trained_on) for name, trained_on in CONTROLS.items()}}
        return [
            {"group": name, "level": level, **self.net(trained_on, seed)}
            for name, (level, trained_on) in everything.items()
            for seed in range(self.settings.seeds)
        ]

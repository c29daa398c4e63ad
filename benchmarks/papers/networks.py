"""The networks of figures 2(a) and 2(b): trained on a part of MNIST for a given number of steps, then looked at.

Two controls are trained with every set of groups: a network that saw nothing, and one that learnt 600 labels drawn at
random by heart. Both answer at chance; the paper's claim would have them at the bottom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.papers.measurement import Look
from benchmarks.papers.settings import NET, RATE, Settings
from benchmarks.papers.train import Digits, accuracy, passes, train
from benchmarks.stopping.data import CLASSES, wrong_labels
from benchmarks.stopping.networks import build

Net = dict[str, Any]


@dataclass(frozen=True)
class TrainingSet:
    """What a network trains on.

    Attributes:
        classes: How many of the ten, drawn by the seed.
        images: At most so many of theirs, drawn by the seed; 0 for a network that is not trained.
        random_labels: Whether labels say nothing about the images.
    """

    classes: int = CLASSES
    images: int = 60_000
    random_labels: bool = False


CONTROLS = {"untrained": TrainingSet(images=0), "random labels": TrainingSet(images=600, random_labels=True)}


class Networks:
    """Trains and looks; what several experiments need is made once.

    Args:
        data: MNIST.
        settings: Steps, probe and ranks.
    """

    def __init__(self, data: Digits, settings: Settings) -> None:
        self.data, self.settings, self.done = data, settings, dict[tuple[TrainingSet, int], Net]()

    def net(self, trained_on: TrainingSet, seed: int) -> Net:
        """A network's accuracy and curves."""
        if (trained_on, seed) not in self.done:
            self.done[trained_on, seed] = self._net(trained_on, seed)
        return self.done[trained_on, seed]

    def _net(self, trained_on: TrainingSet, seed: int) -> Net:
        d, s, rng = self.data, self.settings, np.random.default_rng(seed)
        labels, classes = d.train_y.numpy(), rng.permutation(CLASSES)[: trained_on.classes]
        chosen = rng.permutation(len(labels))
        chosen = chosen[np.isin(labels[chosen], classes)][: trained_on.images]
        # Nine tenths changed, each to one of the nine others: every label is then equally likely on every image.
        given = wrong_labels(labels[chosen], 0.9, rng) if trained_on.random_labels else labels[chosen]
        x, y = d.train_x[torch.from_numpy(chosen)], torch.from_numpy(given)
        model = build(NET, (1, 28, 28), 0.0, seed)
        optimizer = torch.optim.Adam(model.parameters(), RATE)
        if len(y):
            train(model, optimizer, x, y, passes(len(y), s.steps, torch.Generator().manual_seed(seed)))
        fitted = accuracy(model, x[:2000], y[:2000]) if len(y) else None
        right = accuracy(model, d.test_x, d.test_y)
        return {"seed": seed, "accuracy": right, "train_accuracy": fitted, **Look(model, s)(d.probe)}

    def measure(self, groups: dict[str, tuple[float, TrainingSet]]) -> list[Net]:
        """Every group and both controls, every seed.

        Args:
            groups: By name, the number that the claim orders by, and what is trained on.
        """
        everything = {**groups, **{name: (None, trained_on) for name, trained_on in CONTROLS.items()}}
        return [
            {"group": name, "level": level, **self.net(trained_on, seed)}
            for name, (level, trained_on) in everything.items()
            for seed in range(self.settings.seeds)
        ]

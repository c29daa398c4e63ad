"""How much is trained and looked at: the full run, and a quick one that shows that everything works."""

from __future__ import annotations

from dataclasses import dataclass

#: Adam's rate in the runs with controls, so high that the test loss falls and rises within them.
CONTROL_RATE = 3e-3
#: The network of `benchmarks.stopping.networks` that every experiment trains, its batch and Adam's rate.
NET, BATCH, RATE = "cnn8", 64, 1e-3


@dataclass(frozen=True)
class Settings:
    """Sizes of the experiments.

    Attributes:
        seeds: Networks a group of classes or of images.
        steps: Optimiser steps of each of them; 938 batches of 64 are one pass over MNIST's 60,000 images.
        probe: Unlabeled images, the same for every network of classes, subsets and sorted.
        ranks: Of the curves.
        features: Neurons kept a layer, drawn once.
        records: Records of the stopping study, at most; None for all that are there.
        control_seeds: Runs of each task whose controls are measured.
        control_epochs: How long these runs last.
        sorted_seeds: Pairs of one network on sorted and one on shuffled batches.
        sorted_images: What these networks train on.
        sorted_epochs: How often they see it.
    """

    seeds: int = 6
    steps: int = 938
    probe: int = 512
    ranks: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    features: int = 512
    records: int | None = None
    control_seeds: int = 5
    control_epochs: int = 30
    sorted_seeds: int = 8
    sorted_images: int = 6000
    sorted_epochs: int = 5


FULL = Settings()
QUICK = Settings(
    seeds=2, steps=40, probe=128, ranks=(1, 2, 4, 8, 16), features=256, records=12,
    control_seeds=2, control_epochs=4, sorted_seeds=2, sorted_images=640, sorted_epochs=2,
)  # fmt: skip

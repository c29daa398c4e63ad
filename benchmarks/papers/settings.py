"""The sizes of the experiments: those of the full run, and small ones that test whether everything runs."""

from __future__ import annotations

from dataclasses import dataclass

#: Adam's rate in the runs with controls, high enough that the test loss first falls and then rises.
CONTROL_RATE = 3e-3
#: The network of `benchmarks.stopping.networks` that every experiment trains, its batch and Adam's rate.
NET = "cnn8"
BATCH = 64
RATE = 1e-3


@dataclass(frozen=True)
class Settings:
    """Sizes of the experiments.

    Attributes:
        seeds: Networks per group of classes or of images.
        steps: Optimizer steps of each of them; 938 batches of 64 are one epoch of MNIST's 60,000 images.
        probe: Unlabelled images, the same for every network of classes, subsets and sorted.
        ranks: Ranks of the curves.
        features: Neurons kept per layer, drawn once.
        records: Largest number of records of the stopping study; None for all.
        control_seeds: Runs of each task with controls.
        control_epochs: Epochs of these runs.
        sorted_seeds: Pairs of one network on sorted and one on shuffled batches.
        sorted_images: Training images of these networks.
        sorted_epochs: Epochs of these networks.
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

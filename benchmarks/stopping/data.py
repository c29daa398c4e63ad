"""Images and labels of a record: training, validation, probe and hidden test, disjoint and drawn by the seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.stopping.tasks import Task

#: Numbers of probe images, of further unlabelled images, of hidden test images, and of classes.
PROBE = 256
FRESH = 128
TEST = 2000
CLASSES = 10
#: Mean and standard deviation of the channels.
STATISTICS = {
    "mnist": ((0.1307,), (0.3081,)),
    "cifar10": ((0.491, 0.482, 0.447), (0.247, 0.243, 0.262)),
}


@dataclass(frozen=True)
class Parts:
    """The images and labels of a record. Images have the shape (n, C, H, W), are float32 and normalized.

    Attributes:
        train_x: Training images.
        train_y: Training labels, some of them wrong.
        train_true: Correct training labels.
        val_x: The held-out tenth of the labeled images.
        val_clean: Its correct labels.
        val_noisy: Its labels with the same fraction of errors as the training labels.
        probe: Unlabelled images.
        fresh: Other unlabelled images, which are never factorized.
        test_x: Hidden test images.
        test_y: Their labels.
    """

    train_x: Tensor
    train_y: Tensor
    train_true: Tensor
    val_x: Tensor
    val_clean: Tensor
    val_noisy: Tensor
    probe: Tensor
    fresh: Tensor
    test_x: Tensor
    test_y: Tensor


def mnist(folder: Path) -> tuple[np.ndarray, ...]:
    """MNIST from torchvision's raw files: uint8 images (n, 1, 28, 28) and labels, training then test."""
    raw = folder / "MNIST" / "raw"

    def read(name: str, header: int) -> np.ndarray:
        return np.fromfile(raw / name, dtype=np.uint8)[header:]

    arrays = []
    for part in ("train", "t10k"):
        arrays.append(read(f"{part}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28))
        arrays.append(read(f"{part}-labels-idx1-ubyte", 8))
    return tuple(arrays)


def cifar10(folder: Path) -> tuple[np.ndarray, ...]:
    """CIFAR-10 from ``cifar10.npz``: uint8 images (n, 3, 32, 32) and labels, training then test."""
    file = np.load(folder / "cifar10.npz")
    x, x_test = (file[name].transpose(0, 3, 1, 2) for name in ("train_x", "test_x"))
    return x, file["train_y"], x_test, file["test_y"]


LOADERS = {"mnist": mnist, "cifar10": cifar10}


def wrong_labels(labels: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Labels of which exactly round(fraction · n) are changed, each to one of the other classes at random."""
    wrong = rng.permutation(len(labels))[: round(fraction * len(labels))]
    noisy = labels.copy()
    noisy[wrong] = (labels[wrong] + rng.integers(1, CLASSES, len(wrong))) % CLASSES
    return noisy


def class_counts(images: int, imbalance: float) -> np.ndarray:
    """Images per class, a geometric sequence whose first is ``imbalance`` times its last; they sum to ``images``."""
    weights = imbalance ** (-np.arange(CLASSES) / (CLASSES - 1))
    counts = np.floor(images * weights / weights.sum()).astype(int)
    counts[0] += images - counts.sum()
    return counts


def choose(labels: np.ndarray, task: Task, rng: np.random.Generator) -> np.ndarray:
    """Shuffled indices of the labeled images of a task."""
    half = len(labels) // 2
    pool = np.arange(half) + (half if task.part == "confirmation" else 0)
    if task.images > half:
        pool = np.arange(len(labels))
    pool = rng.permutation(pool)
    if task.imbalance == 1:
        return pool[: task.images]
    # The seed draws which classes are frequent, so that they differ between records.
    counts = class_counts(task.images, task.imbalance)[rng.permutation(CLASSES)]
    chosen = [pool[labels[pool] == c][: counts[c]] for c in range(CLASSES)]
    return rng.permutation(np.concatenate(chosen))


def load(folder: Path, task: Task, seed: int) -> Parts:
    """The images and labels of a record.

    Args:
        folder: Folder with ``MNIST/raw`` and ``cifar10.npz``.
        task: Defines which images, how many, and the fraction of wrong labels.
        seed: Seed of all draws.

    Raises:
        FileNotFoundError: The data set is not in ``folder``.
    """
    x, y, x_test, y_test = LOADERS[task.dataset](folder)
    rng = np.random.default_rng(seed)
    mean, std = (torch.tensor(s)[:, None, None] for s in STATISTICS[task.dataset])

    def images(array: np.ndarray) -> Tensor:
        return (torch.from_numpy(np.ascontiguousarray(array)).float() / 255 - mean) / std

    def tensor(labels: np.ndarray) -> Tensor:
        return torch.from_numpy(labels.astype(np.int64))

    labeled = choose(y, task, rng)
    given = wrong_labels(y[labeled], task.noise, rng)
    held = round(task.images / 10)
    val = labeled[:held]
    train = labeled[held:]
    half = len(y_test) // 2
    rest = rng.permutation(half) + (half if task.part == "confirmation" else 0)
    test, probe, fresh = np.split(rest[: TEST + PROBE + FRESH], [TEST, TEST + PROBE])
    return Parts(
        images(x[train]), tensor(given[held:]), tensor(y[train]),
        images(x[val]), tensor(y[val]), tensor(given[:held]),
        images(x_test[probe]), images(x_test[fresh]), images(x_test[test]), tensor(y_test[test]),
    )  # fmt: skip


def augmented(images: Tensor, mirror: bool, generator: torch.Generator, reach: int = 3) -> Tensor:
    """Shifts every image by up to ``reach`` pixels with repeated borders, and mirrors half of them.

    Args:
        images: Shape (N, C, H, W).
        mirror: Whether to mirror.
        generator: Generator of the draws.
        reach: Largest shift in pixels.
    """
    n, _, h, w = images.shape
    padded = torch.nn.functional.pad(images, (reach,) * 4, mode="replicate")
    top, left = (torch.randint(0, 2 * reach + 1, (n, 1), generator=generator) for _ in range(2))
    rows = top + torch.arange(h)
    columns = left + torch.arange(w)
    if mirror:
        flip = torch.rand(n, 1, generator=generator) < 0.5
        columns = torch.where(flip, columns.flip(1), columns)
    return padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

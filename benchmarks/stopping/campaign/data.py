"""Samples and labels of a run: training, validation, probe and hidden test, disjoint and drawn by the seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.stopping.campaign.label_noise import structured_noise
from benchmarks.stopping.campaign.source import Array, Source
from benchmarks.stopping.campaign.sources import SOURCES
from benchmarks.stopping.campaign.task import Task
from benchmarks.stopping.transforms import Affine

#: Numbers of probe and hidden test samples by kind of output.
SIZES = {"classes": (256, 800), "multilabel": (256, 800), "pixel_classes": (48, 150)}


@dataclass(frozen=True)
class Parts:
    """The samples and labels of a run; labels as `raw.RawRun` describes them.

    Attributes:
        train_x: Training samples.
        train_y: Training labels, some of them wrong.
        train_true: Correct training labels.
        val_x: The held-out tenth of the labeled samples.
        val_clean: Its correct labels.
        val_noisy: Its labels with the same fraction of errors as the training labels.
        probe_x: Samples without labels.
        probe_y: Their labels, which no rule sees.
        test_x: Hidden test samples.
        test_y: Their labels.
        classes: Number of outputs of each sample or pixel.
    """

    train_x: Tensor
    train_y: Tensor
    train_true: Tensor
    val_x: Tensor
    val_clean: Tensor
    val_noisy: Tensor
    probe_x: Tensor
    probe_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: int


def wrong(labels: Array, fraction: float, classes: int, rng: np.random.Generator) -> Array:
    """Labels of which exactly round(fraction · n) are wrong.

    A class becomes one of the other classes, the first digit of a pair another digit, a mask that of another sample.
    """
    chosen = rng.permutation(len(labels))[: round(fraction * len(labels))]
    noisy = labels.copy()
    if labels.ndim == 3:
        noisy[chosen] = labels[np.roll(chosen, 1)]
        return noisy
    steps = rng.integers(1, classes, len(chosen))
    if labels.ndim == 2:
        noisy[chosen, 0] = (labels[chosen, 0] + steps) % classes
    else:
        noisy[chosen] = (labels[chosen] + steps) % classes
    return noisy


def unevenly(labels: Array, n: int, imbalance: float, classes: int, rng: np.random.Generator) -> Array:
    """Indices of n samples whose class frequencies are a geometric sequence in random order of the classes."""
    pool = rng.permutation(len(labels))
    if imbalance == 1:
        return pool[:n]
    weights = imbalance ** (-np.arange(classes) / (classes - 1))
    counts = np.floor(n * weights / weights.sum()).astype(int)
    counts[0] += n - counts.sum()
    counts = counts[rng.permutation(classes)]
    chosen = [pool[labels[pool] == k][: counts[k]] for k in range(classes)]
    return rng.permutation(np.concatenate(chosen))


def other_distribution(x: Tensor, probe: str, seed: int) -> Tensor:
    """The probe's images in another distribution, see `Task.probe`."""
    if probe == "noisy":
        return x + 0.7 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    if probe == "contrast":
        return 0.4 * x + 0.5
    if probe == "blurred":
        return torch.nn.functional.avg_pool2d(torch.nn.functional.pad(x, (1,) * 4, mode="replicate"), 3, 1)
    return Affine(degrees=30.0).images(x) if probe == "rotated" else x


def as_targets(labels: Array, task: Task, classes: int) -> Tensor:
    """Labels as the loss takes them: classes, or 0 and 1 for several labels."""
    if task.kind != "multilabel":
        return torch.from_numpy(labels.astype(np.int64))
    targets = np.zeros((len(labels), classes), dtype=np.float32)
    for column in labels.T:
        targets[np.arange(len(labels)), column] = 1
    return torch.from_numpy(targets)


@lru_cache(maxsize=1)
def source(folder: Path, task: Task) -> Source:
    """The samples from which a task's runs draw."""
    return SOURCES[task.dataset](folder, task)


def _given_labels(pool: Source, labeled: Array, task: Task, rng: np.random.Generator) -> Array:
    """The labels of the labeled samples, some of them wrong."""
    true = pool.labeled_y[labeled]
    if task.noise_kind == "uniform":
        return wrong(true, task.noise, pool.classes, rng)
    return structured_noise(pool.labeled_x[labeled], true, task.noise, pool.classes, rng, task.noise_kind)


def _unlabeled(pool: Source, labeled: Array, task: Task, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Samples and labels of the probe, and the indices of the hidden test in ``pool.other_x``.

    In the third part the probe comes from where the labeled samples come from, otherwise from where the test does.
    """
    n_probe, n_test = SIZES[task.kind]
    if task.part == "third":
        test = rng.permutation(len(pool.other_x))[:n_test]
        spare = rng.permutation(np.setdiff1d(np.arange(len(pool.labeled_x)), labeled))
        x, y = pool.labeled_x, pool.labeled_y
    else:
        n_probe = min(n_probe, len(pool.other_x) // 3)
        rest = rng.permutation(len(pool.other_x))
        test, spare = rest[:n_test], rest[n_test:]
        if len(spare) < n_probe:
            test, spare = rest[n_probe:], rest[:n_probe]
        x, y = pool.other_x, pool.other_y
    probe = spare[:n_probe]
    if task.probe == "classes":
        probe = spare[unevenly(y[spare], n_probe, 20.0, pool.classes, rng)]
    return x[probe], y[probe], test


def load(folder: Path, task: Task, seed: int) -> Parts:
    """The samples and labels of a run.

    Args:
        folder: Folder with ``MNIST/raw`` and ``cifar10.npz``.
        task: Defines which samples, how many, and the fraction of wrong labels.
        seed: Seed of all draws.

    Raises:
        FileNotFoundError: The data set is not in ``folder``.
    """
    pool = source(folder, task)
    rng = np.random.default_rng(seed)
    labeled = unevenly(pool.labeled_y, task.images, task.imbalance, pool.classes, rng)
    true = pool.labeled_y[labeled]
    given = _given_labels(pool, labeled, task, rng)
    held = round(task.images / 10)
    probe_x, probe_y, test = _unlabeled(pool, labeled, task, rng)

    def samples(array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array))

    def targets(labels: Array) -> Tensor:
        return as_targets(labels, task, pool.classes)

    return Parts(
        samples(pool.labeled_x[labeled[held:]]), targets(given[held:]), targets(true[held:]),
        samples(pool.labeled_x[labeled[:held]]), targets(true[:held]), targets(given[:held]),
        other_distribution(samples(probe_x), task.probe, seed), targets(probe_y),
        samples(pool.other_x[test]), targets(pool.other_y[test]), pool.classes,
    )  # fmt: skip

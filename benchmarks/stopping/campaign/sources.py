"""Samples and labels of every data set: from files, from scikit-learn, or from a generator (`generated`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.stopping.campaign.generated import markov, mixture, teacher, waves
from benchmarks.stopping.campaign.generated_third import GENERATED_SOURCES
from benchmarks.stopping.campaign.pooling import normalized, pooled
from benchmarks.stopping.campaign.source import Array, Source
from benchmarks.stopping.campaign.swapped_sources import SWAPPED_SOURCES
from benchmarks.stopping.campaign.task import Part, Task
from benchmarks.stopping.data import cifar10, mnist


def _half(array: Array, part: Part) -> Array:
    half = len(array) // 2
    return array[half:] if part == "confirmation" else array[:half]


def images(folder: Path, task: Task) -> Source:
    """MNIST or CIFAR-10; half of the classes, numbered from 0, where the other half has been pretrained on."""
    raw = {"mnist": mnist, "cifar10": cifar10}[task.dataset](folder)
    x, y, other_x, other_y = (_half(array, task.part) for array in raw)
    if task.pretrained == "classes":
        is_own = y >= 5 if task.part == "development" else y < 5
        is_own_other = other_y >= 5 if task.part == "development" else other_y < 5
        x, y, other_x, other_y = x[is_own], y[is_own] % 5, other_x[is_own_other], other_y[is_own_other] % 5
    x = pooled(x, task.side)
    statistics = x[:5000]
    classes = 5 if task.pretrained == "classes" else 10
    return Source(normalized(x, statistics), y, normalized(pooled(other_x, task.side), statistics), other_y, classes)


def _digits16(folder: Path, part: Part) -> tuple[Array, Array, Array, Array]:
    """MNIST's digits in [0, 1] at 16 × 16 pixels."""
    x, y, other_x, other_y = (_half(array, part) for array in mnist(folder))
    return pooled(x[:8000], 16), y[:8000], pooled(other_x, 16), other_y


def pairs(folder: Path, task: Task) -> Source:
    """Two digits side by side, shape (1, 16, 32); the labels are both digits."""
    x, y, other_x, other_y = _digits16(folder, task.part)

    def joined(digits: Array) -> Array:
        return np.concatenate([digits[0::2], digits[1::2]], axis=-1)

    def both(labels: Array) -> Array:
        return np.stack([labels[0::2], labels[1::2]], 1).astype(np.int64)

    by = joined(x)
    return Source(normalized(by, by), both(y), normalized(joined(other_x), by), both(other_y), 10)


def clutter(folder: Path, task: Task) -> Source:
    """A digit over patches of other digits, shape (1, 16, 16); the labels are the digit's pixels."""
    x, _, other_x, _ = _digits16(folder, task.part)
    rng = np.random.default_rng(7 if task.part == "development" else 8)

    def cluttered(digits: Array) -> Array:
        scene = digits.copy()
        for _ in range(4):
            patches = digits[rng.permutation(len(digits)), :, 4:10, 4:10]
            for image, patch, (top, left) in zip(scene, patches, rng.integers(0, 11, (len(digits), 2))):
                image[:, top : top + 6, left : left + 6] = np.maximum(image[:, top : top + 6, left : left + 6], patch)
        return scene + 0.1 * rng.standard_normal(scene.shape).astype(np.float32)

    def mask(digits: Array) -> Array:
        return (digits[:, 0] > 0.3).astype(np.int64)

    digits, other = x[:2000], other_x[:2000]
    by = cluttered(digits)
    return Source(normalized(by, by), mask(digits), normalized(cluttered(other), by), mask(other), 2)


def _bundled(task: Task, is_halved: bool, n_labeled: int) -> Source:
    """A table that ships with scikit-learn, in a fixed random order."""
    from sklearn import datasets

    load = datasets.load_breast_cancer if task.dataset == "cancer" else datasets.load_digits
    x, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype(np.float32), y[order]
    if is_halved:
        x, y = _half(x, task.part), _half(y, task.part)
    deviation = x.std(0)
    deviation[deviation == 0] = 1
    x = ((x - x.mean(0)) / deviation).clip(-5, 5)
    if task.dataset == "rows":  # eight rows of eight pixels are eight steps of a series with eight channels
        x = np.ascontiguousarray(x.reshape(-1, 8, 8).transpose(0, 2, 1))
    return Source(x[:n_labeled], y[:n_labeled], x[n_labeled:], y[n_labeled:], int(y.max()) + 1)


def digits(folder: Path, task: Task) -> Source:
    """The digits of scikit-learn as a table of 64 numbers."""
    return _bundled(task, True, 420)


def cancer(folder: Path, task: Task) -> Source:
    """The breast cancer table of scikit-learn, 30 numbers, two classes."""
    return _bundled(task, False, 140)


def rows(folder: Path, task: Task) -> Source:
    """The digits of scikit-learn as series (8, 8)."""
    return _bundled(task, True, 420)


SOURCES = {
    **dict.fromkeys(("mnist", "cifar10"), images),
    **{f.__name__: f for f in (pairs, clutter, digits, cancer, rows, mixture, teacher, waves, markov)},
    **SWAPPED_SOURCES,
    **GENERATED_SOURCES,
}

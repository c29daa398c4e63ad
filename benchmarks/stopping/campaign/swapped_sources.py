"""Images and series of the third part: other classes and pictures made of MNIST, CIFAR-10 and scikit-learn's digits.

Their labeled samples, validation and probe come from the data sets' test files and the hidden test from the training
files, the other way round than in the earlier parts.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmarks.stopping.campaign.pooling import normalized, pooled
from benchmarks.stopping.campaign.source import Array, Source
from benchmarks.stopping.campaign.task import Task
from benchmarks.stopping.data import cifar10, mnist

#: The new class of every class that a data set has.
MNIST_CLASSES = {
    "parity": {k: k % 2 for k in range(10)},
    "similar": {3: 0, 5: 1, 8: 2, 9: 3},
    "turned": {k: k for k in range(10)},
    "scanlines": {k: k for k in range(10)},
}
CIFAR_CLASSES = {
    "animals": {k: int(k in range(2, 8)) for k in range(10)},
    "vehicles": {0: 0, 1: 1, 8: 2, 9: 3},
    "mammals": {3: 0, 4: 1, 5: 2, 7: 3},
    "grey": {k: k for k in range(10)},
}
#: Number of images of a training file that are read.
HIDDEN = 12000


def _swapped(files: tuple[Array, ...], classes: dict[int, int]) -> tuple[Array, Array, Array, Array]:
    """Images and classes of the test file, then of the training file, with the classes that a data set has."""
    found: list[Array] = []
    for x, y in ((files[2], files[3]), (files[0][:HIDDEN], files[1][:HIDDEN])):
        is_member = np.isin(y, list(classes))
        found += [x[is_member], np.array([classes[int(k)] for k in y[is_member]], dtype=np.int64)]
    return found[0], found[1], found[2], found[3]


def _source(x: Array, y: Array, other_x: Array, other_y: Array) -> Source:
    return Source(normalized(x, x), y, normalized(other_x, x), other_y, int(y.max()) + 1)


def cifar_classes(folder: Path, task: Task) -> Source:
    """CIFAR-10 as animals and vehicles, as one of these groups with its kinds, or in grey with all classes."""
    x, y, other_x, other_y = _swapped(cifar10(folder), CIFAR_CLASSES[task.dataset])
    x, other_x = pooled(x, task.side), pooled(other_x, task.side)
    if task.dataset == "grey":
        x, other_x = x.mean(1, keepdims=True), other_x.mean(1, keepdims=True)
    return _source(x, y, other_x, other_y)


def mnist_classes(folder: Path, task: Task) -> Source:
    """MNIST as even and odd digits, or four digits alone."""
    x, y, other_x, other_y = _swapped(mnist(folder), MNIST_CLASSES[task.dataset])
    return _source(pooled(x, task.side), y, pooled(other_x, task.side), other_y)


def turned(folder: Path, task: Task) -> Source:
    """MNIST in dark on light, every digit rotated by an angle of its own of up to 45°."""
    x, y, other_x, other_y = _swapped(mnist(folder), MNIST_CLASSES[task.dataset])
    x, other_x = (1 - rotated(pooled(images, task.side), seed) for images, seed in ((x, 31), (other_x, 32)))
    return _source(x, y, other_x, other_y)


def rotated(images: Array, seed: int) -> Array:
    """Every image (N, C, H, W) rotated by an angle that is uniform between −45° and 45°."""
    angles = np.random.default_rng(seed).uniform(-math.pi / 4, math.pi / 4, len(images))
    cosine, sine, zero = np.cos(angles), np.sin(angles), np.zeros(len(images))
    first_rows = np.stack([cosine, -sine, zero], -1)
    second_rows = np.stack([sine, cosine, zero], -1)
    theta = torch.from_numpy(np.stack([first_rows, second_rows], 1).astype(np.float32))
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(torch.from_numpy(images), grid, align_corners=False).numpy()


def pasted(folder: Path, task: Task) -> Source:
    """Digits in random light colors on darkened images of CIFAR-10; the classes are the digits."""
    digits, scenes = mnist(folder), cifar10(folder)
    parts: list[Array] = []
    for seed, first in ((33, 2), (34, 0)):
        rng = np.random.default_rng(seed)
        n = min(len(scenes[first]), len(digits[first]), HIDDEN)
        shape, scene = pooled(digits[first][:n], task.side), pooled(scenes[first][:n], task.side)
        color = 0.4 + 0.6 * rng.random((n, 3, 1, 1), dtype=np.float32)
        parts += [(1 - shape) * 0.6 * scene + shape * color, digits[first + 1][:n].astype(np.int64)]
    return _source(parts[0], parts[1], parts[2], parts[3])


def scanlines(folder: Path, task: Task) -> Source:
    """MNIST as series: 16 rows of 16 pixels are 16 steps with 16 channels, shape (16, 16)."""
    source = mnist_classes(folder, task)

    def series(x: Array) -> Array:
        return np.ascontiguousarray(x[:, 0].transpose(0, 2, 1))

    return Source(series(source.labeled_x), source.labeled_y, series(source.other_x), source.other_y, source.classes)


def handwritten(folder: Path, task: Task) -> Source:
    """The digits of scikit-learn as images (1, 8, 8), in another order than the earlier parts' tables."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(35).permutation(len(x))
    x, y = x[order].reshape(-1, 1, 8, 8).astype(np.float32), y[order].astype(np.int64)
    return _source(x[:950], y[:950], x[950:], y[950:])


SWAPPED_SOURCES = {
    **dict.fromkeys(CIFAR_CLASSES, cifar_classes),
    **dict.fromkeys(("parity", "similar"), mnist_classes),
    **{f.__name__: f for f in (turned, pasted, scanlines, handwritten)},
}

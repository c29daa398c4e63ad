"""Generators of the third part: drawn shapes, tables, series and token sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.stopping.campaign.generated import GENERATED, generated
from benchmarks.stopping.campaign.source import TOKENS, Array, Source
from benchmarks.stopping.campaign.task import Task


def shapes(folder: Path, task: Task) -> Source:
    """Noisy images (1, 16, 16) of a disc, square, triangle, cross, ring or bar, light or dark, anywhere, turned."""
    rng = np.random.default_rng(41)
    n = sum(GENERATED)
    y = rng.integers(0, 6, n)
    row, column = np.mgrid[0:16, 0:16].astype(np.float64)

    def drawn(lowest: float, highest: float) -> Array:
        return rng.uniform(lowest, highest, (n, 1, 1))

    down, right = row - drawn(4.5, 10.5), column - drawn(4.5, 10.5)
    size, turn = drawn(3.0, 5.5), drawn(0, 2 * np.pi)
    u, v = np.cos(turn) * down + np.sin(turn) * right, np.cos(turn) * right - np.sin(turn) * down
    distance = np.hypot(u, v) / size
    u, v = np.abs(u) / size, np.abs(v) / size
    third_of_a_turn = 2 * np.pi / 3
    angle = (np.arctan2(right, down) - turn) % third_of_a_turn - third_of_a_turn / 2
    masks = (
        distance < 0.9,
        np.maximum(u, v) < 0.8,
        distance * np.cos(angle) < 0.55,
        (np.minimum(u, v) < 0.28) & (np.maximum(u, v) < 1),
        (distance > 0.6) & (distance < 1),
        (u < 0.3) & (v < 1.2),
    )
    mask = np.stack(masks)[y, np.arange(n)]
    sign = rng.choice([-1.0, 1.0], (n, 1, 1))
    x = sign * mask + 0.35 * rng.standard_normal((n, 16, 16))
    return generated((x / x.std())[:, None].astype(np.float32), y, 6)


def friedman(folder: Path, task: Task) -> Source:
    """A table of 15 numbers of which five matter (scikit-learn's ``make_friedman1``); four classes of equal size."""
    from sklearn.datasets import make_friedman1

    x, target = make_friedman1(sum(GENERATED), 15, noise=1.5, random_state=42)
    y = np.searchsorted(np.quantile(target, [0.25, 0.5, 0.75]), target)
    return generated(((x - 0.5) * 12**0.5).astype(np.float32), y, 4)


def checks(folder: Path, task: Task) -> Source:
    """A table of 12 normal numbers; the four classes are the signs of a product and of a sum of two of them."""
    x = np.random.default_rng(43).standard_normal((sum(GENERATED), 12))
    y = 2 * (x[:, 0] * x[:, 1] > 0) + (x[:, 2] + x[:, 3] > 0)
    return generated(x.astype(np.float32), y.astype(np.int64), 4)


def walks(folder: Path, task: Task) -> Source:
    """Series of 40 steps of four autoregressive processes of second order, with noise (shape (1, 40))."""
    rng = np.random.default_rng(44)
    n = sum(GENERATED)
    y = rng.integers(0, 4, n)
    coefficients = np.array([[0.5, 0.2], [1.1, -0.6], [-0.4, 0.3], [0.3, -0.5]])[y] + 0.04 * rng.standard_normal((n, 2))
    x = np.zeros((n, 60))
    for k in range(2, 60):
        x[:, k] = (coefficients * x[:, [k - 1, k - 2]]).sum(1) + rng.standard_normal(n)
    x = x[:, 20:]
    x = x / x.std(1, keepdims=True) + 0.3 * rng.standard_normal((n, 40))
    return generated(x[:, None].astype(np.float32), y, 4)


def motifs(folder: Path, task: Task) -> Source:
    """Random sequences of 24 tokens into which two of a class's three motifs of three tokens were written."""
    rng = np.random.default_rng(45)
    n = sum(GENERATED)
    y = rng.integers(0, 6, n)
    words = rng.integers(0, TOKENS, (6, 3, 3))
    x = rng.integers(0, TOKENS, (n, 24))
    for half in (0, 12):
        start = half + rng.integers(0, 10, n)
        word = words[y, rng.integers(0, 3, n)]
        x[np.arange(n)[:, None], start[:, None] + np.arange(3)] = word
    return generated(x, y, 6)


GENERATED_SOURCES = {f.__name__: f for f in (shapes, friedman, checks, walks, motifs)}

"""Data sets that a generator makes: tables, series and token sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.stopping.campaign.source import Array, Source
from benchmarks.stopping.campaign.task import Task

#: Number of samples that a generator makes for a part, labeled and unlabeled.
GENERATED = (4000, 1500)


def generated(x: Array, y: Array, classes: int) -> Source:
    """The samples of a generator: those to be labeled first, then the others, as many as `GENERATED` says."""
    n = GENERATED[0]
    return Source(x[:n], y[:n], x[n:], y[n:], classes)


def mixture(folder: Path, task: Task) -> Source:
    """A table of 40 numbers, ten classes of two clusters each (scikit-learn's ``make_classification``)."""
    from sklearn.datasets import make_classification

    x, y = make_classification(
        sum(GENERATED), 40, n_informative=15, n_redundant=5, n_classes=10, class_sep=1.5, random_state=11
    )
    return generated((x / x.std(0)).astype(np.float32), y, 10)


def teacher(folder: Path, task: Task) -> Source:
    """A table of 20 normal numbers; the class is the largest output of a random network."""
    rng = np.random.default_rng(12)
    x = rng.standard_normal((sum(GENERATED), 20))
    hidden = np.tanh(x @ rng.standard_normal((20, 24)) / 3)
    scores = hidden @ rng.standard_normal((24, 5))
    return generated(x.astype(np.float32), (scores - scores.mean(0)).argmax(1), 5)


def waves(folder: Path, task: Task) -> Source:
    """Noisy series of 48 steps of six shapes: sine, square, saw, triangle, chirp, two tones."""
    rng = np.random.default_rng(13 if task.part == "development" else 14)
    n = sum(GENERATED)
    y = rng.integers(0, 6, n)
    lowest, highest = (2.0, 5.0) if task.part == "development" else (1.5, 4.0)
    frequency = rng.uniform(lowest, highest, (n, 1))
    start = rng.uniform(0, 1, (n, 1))
    time = np.linspace(0, 1, 48)[None]
    turns = frequency * time + start
    sine = np.sin(2 * np.pi * turns)
    saw = 2 * (turns % 1) - 1
    chirp = np.sin(2 * np.pi * (frequency * (0.6 * time + 0.5 * time**2) + start))
    two = 0.6 * sine + 0.6 * np.sin(2 * np.pi * (1.7 * frequency * time + 3 * start))
    shapes = np.stack([sine, np.sign(sine), saw, 2 * np.abs(saw) - 1, chirp, two])
    x = shapes[y, np.arange(n)] + 0.6 * rng.standard_normal((n, 48))
    return generated(x[:, None].astype(np.float32), y, 6)


def markov(folder: Path, task: Task) -> Source:
    """Sequences of 24 tokens, each of one of five Markov chains over twelve tokens."""
    rng = np.random.default_rng(15 if task.part == "development" else 16)
    n = sum(GENERATED)
    y = rng.integers(0, 5, n)
    chains = rng.dirichlet(np.full(12, 1.5), (5, 12)).cumsum(-1)
    x = np.zeros((n, 24), dtype=np.int64)
    x[:, 0] = rng.integers(0, 12, n)
    for k in range(1, 24):
        x[:, k] = (rng.random((n, 1)) > chains[y, x[:, k - 1]]).sum(1).clip(max=11)
    return generated(x, y, 5)

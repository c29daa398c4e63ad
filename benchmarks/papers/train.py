"""MNIST, and the training of a network on any part of it for a given number of steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.papers.settings import BATCH
from benchmarks.stopping.data import STATISTICS, TEST, mnist
from benchmarks.stopping.epoch_measurements import loss_and_accuracy, outputs
from benchmarks.stopping.networks import Classifier, channels_last


@dataclass(frozen=True)
class Digits:
    """MNIST: images (n, 1, 28, 28), float32 and normalized, and labels (n,).

    Attributes:
        train_x: 60,000 training images.
        train_y: Their labels.
        probe: Images of the test file, used without their labels.
        test_x: Other images of the test file, for the accuracy.
        test_y: Their labels.
    """

    train_x: Tensor
    train_y: Tensor
    probe: Tensor
    test_x: Tensor
    test_y: Tensor


def digits(folder: Path, probe: int) -> Digits:
    """MNIST with a probe of ``probe`` images, the same for all networks.

    Raises:
        FileNotFoundError: ``folder`` has no ``MNIST/raw``.
    """
    x, y, x_test, y_test = mnist(folder)
    ((mean,), (std,)) = STATISTICS["mnist"]
    order = np.random.default_rng(0).permutation(len(y_test))
    probe_index = order[:probe]
    test_index = order[probe : probe + TEST]

    def images(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).float().div_(255).sub_(mean).div_(std)

    def labels(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array.astype(np.int64))

    return Digits(
        images(x), labels(y), images(x_test[probe_index]), images(x_test[test_index]), labels(y_test[test_index])
    )


def random_batches(images: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """``steps`` batches of indices, from as many epochs as needed, each in a new random order."""
    while steps > 0:
        for batch in torch.randperm(images, generator=generator).split(BATCH)[:steps]:
            yield batch
            steps -= 1


def train(
    model: Classifier, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor, order: Iterable[Tensor]
) -> None:
    """Takes one optimizer step on the cross-entropy for every batch of indices in ``order``."""
    model.train()
    for index in order:
        loss = nn.functional.cross_entropy(model(channels_last(images[index])), labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def accuracy(model: Classifier, images: Tensor, labels: Tensor) -> float:
    """The fraction of the images that are classified correctly."""
    return loss_and_accuracy(outputs(model, images)[0], labels)[1]

"""Small networks trained on CIFAR-10 or MNIST, for the benchmarks of the spectra."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.stopping.data import cifar10 as load_cifar10
from benchmarks.stopping.data import mnist as load_mnist

Array = np.ndarray[Any, Any]


class Data(NamedTuple):
    """CIFAR-10 or MNIST.

    Attributes:
        train_x: Training images, shape (N, C, H, W), float32, with mean 0 and variance 1 in each channel.
        train_y: Training labels, shape (N,).
        test_x: Test images, normalized like the training images.
        test_y: Test labels.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def cifar10(folder: Path) -> Data:
    """The images of ``folder/cifar10.npz``, whose arrays are train_x (N, 32, 32, 3) in uint8, train_y and so on."""
    return _normalized(*load_cifar10(folder))


def mnist(folder: Path) -> Data:
    """The digits of torchvision's raw files in ``folder/MNIST/raw``."""
    return _normalized(*load_mnist(folder))


def _normalized(train_images: Array, train_labels: Array, test_images: Array, test_labels: Array) -> Data:
    """Images of bytes as floats, normalized by the channels of the training images."""
    train_x = torch.from_numpy(train_images).float() / 255
    test_x = torch.from_numpy(test_images).float() / 255
    train_y = torch.from_numpy(train_labels).long().flatten()
    test_y = torch.from_numpy(test_labels).long().flatten()
    mean = train_x.mean((0, 2, 3), keepdim=True)
    std = train_x.std((0, 2, 3), keepdim=True)
    return Data((train_x - mean) / std, train_y, (test_x - mean) / std, test_y)


def small_net(width: int) -> nn.Sequential:
    """Three 3 × 3 convolutions with batch norm on images of 32, 16 and 8 pixels a side, and a linear layer."""

    def block(channels: int, out: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(out), nn.ReLU()]

    layers = [*block(3, width, 2), *block(width, 2 * width, 2), *block(2 * width, 4 * width, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16 * width, 10))


def train(
    model: nn.Module,
    data: Data,
    *,
    epochs: float = math.inf,
    seconds: float = math.inf,
    lr: float = 0.05,
    batch: int = 128,
    seed: int = 0,
) -> nn.Module:
    """Trains by SGD with momentum, weight decay 5e-4, random flips and a rate that falls to 0 along a cosine.

    Args:
        model: The network, trained in place.
        data: The images and labels.
        epochs: Number of epochs after which training ends.
        seconds: Wall seconds after which training ends.
        lr: First learning rate.
        batch: Images per step.
        seed: Seed of batches and flips.

    Returns:
        The network, in eval mode.
    """
    random = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = math.inf if math.isinf(epochs) else max(1, round(epochs * len(data.train_x) / batch))
    start = time.perf_counter()
    step = 0
    model.train()
    while step < steps and time.perf_counter() - start < seconds:
        done = max(step / steps, (time.perf_counter() - start) / seconds)
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 + math.cos(math.pi * done)) / 2
        chosen = torch.randint(len(data.train_x), (batch,), generator=random)
        images = data.train_x[chosen]
        flipped = torch.rand(batch, generator=random) < 0.5
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(images), data.train_y[chosen]).backward()
        optimizer.step()
        step += 1
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Fraction of the images that are classified correctly."""
    right = []
    for x, y in zip(images.split(500), labels.split(500)):
        right.append((model(x).argmax(1) == y).sum())
    return float(torch.stack(right).sum()) / len(labels)

"""Small nets trained on CIFAR-10, for the benchmarks of the spectra."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Data(NamedTuple):
    """Images (N, 3, 32, 32) in float32 with mean 0 and variance 1 a channel; labels (N,)."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def cifar10(folder: Path) -> Data:
    """The images of ``folder/cifar10.npz``: train_x (N, 32, 32, 3) uint8 and so on."""
    with np.load(folder / "cifar10.npz") as raw:
        images = [torch.from_numpy(raw[k]).permute(0, 3, 1, 2).float() / 255 for k in ("train_x", "test_x")]
        labels = [torch.from_numpy(raw[k]).long().flatten() for k in ("train_y", "test_y")]
    mean, std = images[0].mean((0, 2, 3), keepdim=True), images[0].std((0, 2, 3), keepdim=True)
    images = [(x - mean) / std for x in images]
    return Data(images[0], labels[0], images[1], labels[1])


def small_net(width: int) -> nn.Sequential:
    """Three 3 × 3 convolutions with batch norm on 32, 16 and 8 pixels a side, then a linear layer."""

    def block(c: int, d: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(c, d, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(d), nn.ReLU()]

    parts = [*block(3, width, 2), *block(width, 2 * width, 2), *block(2 * width, 4 * width, 1)]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16 * width, 10))


def train(
    model: nn.Module, data: Data, *, epochs: float = math.inf, seconds: float = math.inf, lr: float = 0.05,
    batch: int = 128, seed: int = 0,
) -> nn.Module:  # fmt: skip
    """SGD with momentum, weight decay 5e-4 and random flips, rate falling to 0; stops at ``epochs`` or ``seconds``."""
    random = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = math.inf if math.isinf(epochs) else max(1, round(epochs * len(data.train_x) / batch))
    start, step = time.perf_counter(), 0
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
    """Share of images with the right answer."""
    right = [(model(x).argmax(1) == y).sum() for x, y in zip(images.split(500), labels.split(500))]
    return float(torch.stack(right).sum()) / len(labels)

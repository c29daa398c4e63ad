"""Small networks from (N, 3, 8, 8) to (N, 3), each with a state that a careless callback would change."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.checkpoint import checkpoint

CLASSES = 3


def mlp() -> nn.Module:
    """A multilayer perceptron: linear layers only."""
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 24), nn.ReLU(), nn.Linear(24, CLASSES))


def cnn() -> nn.Module:
    """Convolutions and batch norms, whose running statistics a forward pass in training mode would move."""
    first = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()]
    second = [nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(12, CLASSES))


def frozen_norm() -> nn.Module:
    """A CNN whose first batch norm stays in eval mode; `train()` on the root would put it into training mode."""
    net = cnn()
    net[1].eval().requires_grad_(False)  # type: ignore[index]
    return net


def dropout() -> nn.Module:
    """A CNN with dropout, which draws from torch's generator in training mode."""
    conv = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Dropout2d(0.3)]
    return nn.Sequential(*conv, nn.Flatten(), nn.Linear(288, 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, CLASSES))


class Tied(nn.Module):
    """A network with one weight in two layers and one ReLU that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.b.weight = self.a.weight
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        x = self.relu(self.b(self.relu(self.a(self.stem(x)))))
        return self.head(x.mean((2, 3)))


class Functional(nn.Module):
    """A network with functional ReLU, normalization and dropout, which are no modules that could be hooked."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        x = nn.functional.relu(self.conv(x))
        x = nn.functional.dropout(nn.functional.layer_norm(x, x.shape[1:]), 0.2, self.training)
        return self.head(torch.relu(x).mean((2, 3)))


class Residual(nn.Module):
    """A residual block as in ResNet: batch norms and one in-place ReLU that is called several times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True)
        self.conv1, self.bn1 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        x = self.relu(self.stem(x))
        x = self.relu(x + self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.head(x.mean((2, 3)))


class Patches(nn.Module):
    """A vision transformer; in eval mode without gradients torch takes another path through its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.place = nn.Conv2d(3, 16, 4, stride=4), nn.Parameter(torch.zeros(4, 16))
        self.blocks = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, 0.1, batch_first=True), 2)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        return self.head(self.blocks(self.patch(x).flatten(2).transpose(1, 2) + self.place).mean(1))


class Buffers(nn.Module):
    """A network whose buffers count calls and average activations in every forward pass, also in eval mode."""

    calls: Tensor
    average: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, CLASSES)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("average", torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        x = nn.functional.relu(self.conv(x))
        self.calls += 1  # in place
        self.average = 0.9 * self.average + 0.1 * x.detach().mean((0, 2, 3)).to(self.average)  # a new tensor
        return self.head((x - self.average.to(x)[:, None, None]).mean((2, 3)))


class Checkpointed(nn.Module):
    """A network that computes its activations, dropout included, a second time for the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(8, 8, 3))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        return self.head(checkpoint(self.body, x, use_reentrant=False).relu().mean((2, 3)))


class ChannelsLast(nn.Module):
    """A CNN whose weights and activations have the channels-last memory format."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn().to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        return self.net(x.contiguous(memory_format=torch.channels_last))


class Noisy(nn.Module):
    """A network that draws from torch, numpy and Python in every forward pass, also in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        scale = 1 + 0.1 * (random.random() - float(np.random.rand()))
        x = self.relu(self.conv(x * scale))
        return self.head((x + 0.01 * torch.randn_like(x)).mean((2, 3)))


def spectral() -> nn.Module:
    """A network with spectral norm, which updates its buffers by power iteration in training mode."""
    conv = [spectral_norm(nn.Conv2d(3, 8, 3)), nn.LeakyReLU(0.1)]
    return nn.Sequential(*conv, nn.Flatten(), spectral_norm(nn.Linear(288, CLASSES)))


FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp, "cnn": cnn, "frozen norm": frozen_norm, "dropout": dropout, "tied": Tied, "functional": Functional,
    "residual": Residual, "vit": Patches, "buffers": Buffers, "checkpointing": Checkpointed,
    "channels last": ChannelsLast, "noisy": Noisy, "spectral norm": spectral, "gan": cnn,
}  # fmt: skip

"""The networks that only the third part trains; as the others they end in ``head(dropout(body(x)))``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.stopping.campaign.source import TOKENS
from benchmarks.stopping.networks import Classifier

Shape = tuple[int, ...]


def vgg(shape: Shape, dropout: float) -> Classifier:
    """Three stages of two convolutions with batch norm (8, 16, 32 channels), pooling between them (Simonyan 2015)."""
    layers: list[nn.Module] = []
    channels = shape[0]
    for out in (8, 16, 32):
        for _ in range(2):
            layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        layers.append(nn.MaxPool2d(2))
    positions = (shape[1] // 8) * (shape[2] // 8)
    layers += [nn.Flatten(), nn.Linear(channels * positions, 48), nn.ReLU()]
    return Classifier(nn.Sequential(*layers), 48, dropout)


def allconv(shape: Shape, dropout: float) -> Classifier:
    """Convolutions with strides instead of pooling, GELU, no norms, the mean at the end (Springenberg et al. 2015)."""
    plan = ((shape[0], 16, 1), (16, 24, 2), (24, 32, 1), (32, 48, 2))
    layers: list[nn.Module] = []
    for channels, out, stride in plan:
        layers += [nn.Conv2d(channels, out, 3, stride, padding=1), nn.GELU()]
    layers += [nn.Conv2d(48, 48, 1), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Classifier(nn.Sequential(*layers), 48, dropout)


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with a given norm, optionally squeeze-and-excitation, and a shortcut."""

    def __init__(self, channels: int, out: int, stride: int, norm: Callable[[int], nn.Module], is_gated: bool) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, 1, bias=False),
            norm(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            norm(out),
        )
        self.gate: nn.Module | None = None
        if is_gated:
            squeezed = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(out, out // 4, 1), nn.ReLU())
            self.gate = nn.Sequential(squeezed, nn.Conv2d(out // 4, out, 1), nn.Sigmoid())
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), norm(out))

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of shape (N, out, H / stride, W / stride)."""
        y = self.path(x)
        if self.gate is not None:
            y = y * self.gate(y)
        return nn.functional.relu(y + self.shortcut(x))


def residual(shape: Shape, dropout: float, norm: Callable[[int], nn.Module], is_gated: bool) -> Classifier:
    """A ResNet of three blocks (8, 16, 32 channels) with the CIFAR stem."""
    layers: list[nn.Module] = [nn.Conv2d(shape[0], 8, 3, padding=1, bias=False), norm(8), nn.ReLU()]
    channels = 8
    for out in (8, 16, 32):
        layers.append(ResidualBlock(channels, out, 1 if out == 8 else 2, norm, is_gated))
        channels = out
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Classifier(nn.Sequential(*layers), channels, dropout)


class MixerBlock(nn.Module):
    """A two-layer network over the tokens and one over the channels, each after a layer norm and with a shortcut."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.over_tokens = nn.Sequential(nn.Linear(tokens, 32), nn.GELU(), nn.Linear(32, tokens))
        self.over_channels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of shape (N, tokens, width), like ``x``."""
        x = x + self.over_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.over_channels(self.norm2(x))


class Mixer(nn.Module):
    """An MLP-Mixer: 16 patches as tokens, three blocks, the mean over tokens (Tolstikhin et al. 2021)."""

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        patch = shape[1] // 4
        self.patches = nn.Conv2d(shape[0], width, patch, patch)
        self.blocks = nn.Sequential(*(MixerBlock(16, width) for _ in range(3)))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the features, shape (N, width)."""
        return self.norm(self.blocks(self.patches(x).flatten(2).transpose(1, 2))).mean(1)


class ConvNextBlock(nn.Module):
    """A 5 × 5 convolution of every channel alone, a layer norm, two pointwise layers, a shortcut (Liu et al. 2022)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.pointwise = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor like ``x``."""
        return x + self.pointwise(self.depthwise(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def convnext(shape: Shape, dropout: float) -> Classifier:
    """Patches of 2 × 2 pixels, two blocks of width 20, the side halved again, two blocks of width 40, the mean."""
    first = (nn.Conv2d(shape[0], 20, 2, 2), ConvNextBlock(20), ConvNextBlock(20))
    second = (nn.GroupNorm(1, 20), nn.Conv2d(20, 40, 2, 2), ConvNextBlock(40), ConvNextBlock(40))
    end = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(40))
    return Classifier(nn.Sequential(*first, *second, *end), 40, dropout)


def normed_mlp(shape: Shape, dropout: float, norm: Callable[[int], nn.Module]) -> Classifier:
    """Three hidden layers (96, 96, 48) with norms for the flattened sample."""
    width = int(torch.tensor(shape).prod())
    layers: list[nn.Module] = [nn.Flatten()]
    for out in (96, 96, 48):
        layers += [nn.Linear(width, out), norm(out), nn.GELU()]
        width = out
    return Classifier(nn.Sequential(*layers), width, dropout)


class LastOutput(nn.Module):
    """The last output of a long short-term memory that reads a series (N, C, T) step by step."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the features, shape (N, width)."""
        return self.lstm(x.transpose(1, 2))[0][:, -1]


class TokenConvolutions(nn.Module):
    """Embedded tokens, two convolutions over the sequence, the largest value over it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, width)
        self.convolutions = nn.Sequential(
            nn.Conv1d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Returns the features, shape (N, 2 width)."""
        return self.convolutions(self.embedding(x).transpose(1, 2)).amax(-1)


FURTHER_NETS: dict[str, Callable[[Shape, float], Classifier]] = {
    "vgg": vgg,
    "allconv": allconv,
    "se-resnet8": lambda shape, dropout: residual(shape, dropout, nn.BatchNorm2d, True),
    "gn-resnet8": lambda shape, dropout: residual(shape, dropout, lambda width: nn.GroupNorm(4, width), False),
    "mixer": lambda shape, dropout: Classifier(Mixer(shape, 40), 40, dropout),
    "convnext": convnext,
    "ln-mlp": lambda shape, dropout: normed_mlp(shape, dropout, nn.LayerNorm),
    "bn-mlp": lambda shape, dropout: normed_mlp(shape, dropout, nn.BatchNorm1d),
    "lstm": lambda shape, dropout: Classifier(LastOutput(shape[0], 48), 48, dropout),
    "token-cnn": lambda shape, dropout: Classifier(TokenConvolutions(24), 48, dropout),
}

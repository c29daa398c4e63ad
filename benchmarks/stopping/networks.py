"""The networks of the study: a body that ends in penultimate features, dropout, a linear head.

All are narrow, because the study runs on CPUs: at its usual width a ResNet-18 with the CIFAR stem costs about 55 ms per
image and step, at an eighth of it (8, 16, 32, 64 channels) about 1.2 ms. The results of the study are therefore results
on small networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

CLASSES = 10


def channels_last(batch: Tensor) -> Tensor:
    """The batch in the memory format in which convolutions on a CPU are fastest."""
    return batch.contiguous(memory_format=torch.channels_last)


class Classifier(nn.Module):
    """Body, dropout and head; ``body(x)`` returns the penultimate features, shape (N, width)."""

    head: nn.Linear

    def __init__(self, body: nn.Module, width: int, dropout: float) -> None:
        super().__init__()
        self.body, self.dropout, self.head = body, nn.Dropout(dropout), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, shape (N, 10)."""
        return self.head(self.dropout(self.body(x)))


def small_cnn(shape: tuple[int, int, int], dropout: float, width: int) -> Classifier:
    """Three convolutions with pooling (``width``, twice, four times as many channels), one hidden layer of 64."""
    channels, side, _ = shape
    layers: list[nn.Module] = []
    for out in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = out
    layers += [nn.Flatten(), nn.Linear(channels * (side // 8) ** 2, 64), nn.ReLU()]
    return Classifier(nn.Sequential(*layers), 64, dropout)


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions and a shortcut: He, Zhang, Ren and Sun (2016), "Deep residual learning"."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.norm2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of shape (N, out, H / stride, W / stride)."""
        y = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        return self.relu2(y + self.shortcut(x))


def resnet(shape: tuple[int, int, int], dropout: float, width: int, blocks: int, widths: Sequence[int]) -> Classifier:
    """A ResNet with the CIFAR stem: one 3 × 3 convolution with stride 1, no pooling but the mean at the end."""
    layers: list[nn.Module] = [
        nn.Conv2d(shape[0], width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    ]  # fmt: skip
    channels = width
    for stage, factor in enumerate(widths):
        for block in range(blocks):
            layers.append(BasicBlock(channels, width * factor, 2 if stage and not block else 1))
            channels = width * factor
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Classifier(nn.Sequential(*layers), channels, dropout)


class EncoderBlock(nn.Module):
    """Attention and a two-layer network, each after a layer norm and with a shortcut."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2, self.heads = nn.LayerNorm(width), nn.LayerNorm(width), heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of shape (N, tokens, width), like ``x``."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.out(attended))
        return x + self.dropout(self.mlp(self.norm2(x)))


class SmallViT(nn.Module):
    """A vision transformer: patches as tokens, learned positions, encoder blocks, the mean over tokens."""

    def __init__(self, shape: tuple[int, int, int], patch: int, width: int, depth: int, heads: int, dropout: float):
        super().__init__()
        self.patches = nn.Conv2d(shape[0], width, patch, patch)
        self.positions = nn.Parameter(0.02 * torch.randn(1, (shape[1] // patch) ** 2, width))
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the features, shape (N, width)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.norm(self.blocks(tokens)).mean(1)


def small_vit(shape: tuple[int, int, int], dropout: float) -> Classifier:
    """16 tokens (patches of a quarter of the side), four blocks of width 64 with four heads."""
    return Classifier(SmallViT(shape, shape[1] // 4, 64, 4, 4, dropout), 64, dropout)


NETS: dict[str, Callable[[tuple[int, int, int], float], Classifier]] = {
    "cnn8": lambda shape, dropout: small_cnn(shape, dropout, 8),
    "cnn16": lambda shape, dropout: small_cnn(shape, dropout, 16),
    "cnn24": lambda shape, dropout: small_cnn(shape, dropout, 24),
    "resnet8": lambda shape, dropout: resnet(shape, dropout, 8, 1, (1, 2, 4)),
    "resnet18": lambda shape, dropout: resnet(shape, dropout, 8, 2, (1, 2, 4, 8)),
    "vit": small_vit,
}


def build(name: str, shape: tuple[int, int, int], dropout: float, seed: int) -> Classifier:
    """A network with weights drawn by ``seed``, in the memory format that is fastest on a CPU.

    Args:
        name: A key of `NETS`.
        shape: Shape of an image, (C, H, W).
        dropout: Dropout probability.
        seed: Seed of the initial weights.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in NETS:
        raise ValueError(f"name: must be one of {sorted(NETS)}, found {name!r}.")
    torch.manual_seed(seed)
    return NETS[name](shape, dropout).to(memory_format=torch.channels_last)

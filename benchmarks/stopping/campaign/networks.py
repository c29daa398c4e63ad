"""The networks of the second campaign: those of the first study, and others for tables, sequences and masks.

`further_networks` has those of the third part alone.

Each is a body that ends in penultimate features, dropout, and a head: ``head(dropout(body(x)))``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.stopping import networks as first_study
from benchmarks.stopping.campaign.further_networks import FURTHER_NETS
from benchmarks.stopping.campaign.source import TOKENS
from benchmarks.stopping.networks import Classifier, EncoderBlock

Shape = tuple[int, ...]


def cnn(shape: Shape, dropout: float, width: int) -> Classifier:
    """The first study's small CNN, also for images that are not square."""
    model = first_study.small_cnn(shape, dropout, width)  # type: ignore[arg-type]
    positions = (shape[1] // 8) * (shape[2] // 8)
    assert isinstance(model.body, nn.Sequential)
    model.body[-2] = nn.Linear(4 * width * positions, 64)
    return model


def mlp(shape: Shape, dropout: float) -> Classifier:
    """Two hidden layers of 128 and 64 for the flattened sample."""
    width = int(torch.tensor(shape).prod())
    body = nn.Sequential(nn.Flatten(), nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
    return Classifier(body, 64, dropout)


def conv1d(shape: Shape, dropout: float) -> Classifier:
    """Two convolutions over time and the mean over it, for series (N, C, T)."""
    layers = [nn.Conv1d(shape[0], 16, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(16, 32, 5, padding=2)]
    return Classifier(nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()), 32, dropout)


class LastState(nn.Module):
    """The last state of a gated recurrent unit that reads a series (N, C, T) step by step."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the features, shape (N, width)."""
        return self.gru(x.transpose(1, 2))[1][0]


def gru(shape: Shape, dropout: float) -> Classifier:
    """A gated recurrent unit of width 48."""
    return Classifier(LastState(shape[0], 48), 48, dropout)


class TokenEncoder(nn.Module):
    """Embedded tokens with learned positions, two encoder blocks, the mean over tokens."""

    def __init__(self, length: int, width: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, width)
        self.positions = nn.Parameter(0.02 * torch.randn(1, length, width))
        self.blocks = nn.Sequential(*(EncoderBlock(width, 2, dropout) for _ in range(2)))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the features, shape (N, width)."""
        return self.norm(self.blocks(self.embedding(x) + self.positions)).mean(1)


def tokens(shape: Shape, dropout: float) -> Classifier:
    """A transformer of width 32 for sequences of token ids (N, T)."""
    return Classifier(TokenEncoder(shape[0], 32, dropout), 32, dropout)


def fcn(shape: Shape, dropout: float) -> Classifier:
    """Four convolutions at full resolution, the two in the middle dilated; the head has one output for each pixel."""
    layers: list[nn.Module] = []
    channels = shape[0]
    for dilation in (1, 2, 2, 1):
        layers += [nn.Conv2d(channels, 16, 3, padding=dilation, dilation=dilation), nn.ReLU()]
        channels = 16
    model = Classifier(nn.Sequential(*layers), 16, dropout)
    model.head = nn.Conv2d(16, 2, 1)  # type: ignore[assignment]
    return model


NETS: dict[str, Callable[[Shape, float], Classifier]] = {
    **first_study.NETS,  # type: ignore[dict-item]
    "cnn8": lambda shape, dropout: cnn(shape, dropout, 8),
    "cnn16": lambda shape, dropout: cnn(shape, dropout, 16),
    "cnn24": lambda shape, dropout: cnn(shape, dropout, 24),
    "cnn48": lambda shape, dropout: cnn(shape, dropout, 48),
    "wide-resnet8": lambda shape, dropout: first_study.resnet(shape, dropout, 24, 1, (1, 2, 4)),  # type: ignore[arg-type]
    "mlp": mlp,
    "conv1d": conv1d,
    "gru": gru,
    "tokens": tokens,
    "fcn": fcn,
    **FURTHER_NETS,
}


def build(name: str, shape: Shape, classes: int, dropout: float, seed: int) -> Classifier:
    """A network with weights drawn by ``seed``, in the memory format that is fastest on a CPU.

    Args:
        name: A key of `NETS`.
        shape: Shape of a sample.
        classes: Number of outputs of each sample or pixel.
        dropout: Dropout probability.
        seed: Seed of the initial weights.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in NETS:
        raise ValueError(f"name: must be one of {sorted(NETS)}, found {name!r}.")
    torch.manual_seed(seed)
    model = NETS[name](shape, dropout)
    head = model.head
    if isinstance(head, nn.Linear) and head.out_features != classes:
        model.head = nn.Linear(head.in_features, classes)
    return model.to(memory_format=torch.channels_last)

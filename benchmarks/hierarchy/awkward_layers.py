"""Layers whose receptive fields are easy to get wrong, each with the shape of an input."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

#: Name → a function that makes the layer, and the shape of one sample.
AWKWARD_LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "groups": (lambda: nn.Conv2d(6, 8, 3, groups=2), (6, 9, 8)),
    "dilation": (lambda: nn.Conv2d(3, 5, 3, dilation=2, padding=2), (3, 9, 8)),
    "stride": (lambda: nn.Conv2d(3, 5, (5, 2), stride=(3, 2), padding=(1, 0)), (3, 12, 9)),
    "circular": (lambda: nn.Conv2d(3, 5, 3, padding=2, padding_mode="circular"), (3, 8, 7)),
    "reflect": (lambda: nn.Conv2d(3, 5, 5, padding=2, padding_mode="reflect", stride=2), (3, 9, 9)),
    "same, even kernel": (lambda: nn.Conv2d(3, 5, (4, 2), padding="same"), (3, 8, 7)),
    "same, replicate": (lambda: nn.Conv2d(3, 5, 4, padding="same", padding_mode="replicate", dilation=2), (3, 9, 9)),
    "depthwise": (lambda: nn.Conv2d(6, 12, 3, padding=1, groups=6), (6, 8, 7)),
    "1 × 1": (lambda: nn.Conv2d(8, 5, 1, stride=2), (8, 7, 7)),
    "tokens": (lambda: nn.Linear(12, 20), (5, 4, 12)),
    "transposed": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, dilation=2),
        (4, 6, 5),
    ),
    "transposed, cut": (lambda: nn.ConvTranspose2d(4, 6, 2, stride=2, padding=2), (4, 6, 5)),
    "1d": (lambda: nn.Conv1d(4, 6, 4, stride=2, padding=3), (4, 15)),
    "3d": (lambda: nn.Conv3d(4, 6, (2, 3, 1), stride=(1, 2, 1), padding=(1, 1, 0), groups=2), (4, 4, 7, 5)),
}

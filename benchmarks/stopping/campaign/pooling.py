"""Pools and normalizes images."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from benchmarks.stopping.campaign.source import Array


def pooled(images: Array, side: int) -> Array:
    """Images in [0, 1] with the given side; MNIST's are padded to 32 pixels first."""
    x = torch.from_numpy(np.ascontiguousarray(images))
    pieces = []
    for piece in x.split(5000):
        padded = functional.pad(piece.float() / 255, ((32 - piece.shape[-1]) // 2,) * 4)
        pieces.append(functional.avg_pool2d(padded, 32 // side))
    return torch.cat(pieces).numpy()


def normalized(x: Array, by: Array) -> Array:
    """Samples less the mean, divided by the standard deviation, of every channel of ``by``."""
    axes = (0, *range(2, by.ndim))
    mean = by.mean(axes, keepdims=True)
    return ((x - mean) / by.std(axes, keepdims=True)).astype(np.float32)

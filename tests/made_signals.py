"""Signals of random numbers."""

import torch

from lightning_factorlens.results import Signals


def make_signals(values, layer="fc1", **changes):
    """Signals with these means over positions, shape (N, r)."""
    values = torch.as_tensor(values, dtype=torch.float32)
    r = values.shape[1]
    s = torch.linspace(3, 0.1, r, dtype=torch.float64)
    return Signals(layer, values, s, torch.zeros(r, dtype=torch.int64), **changes)


def class_signals(n_per_class=30, n_classes=6, r=24, strength=1.0, seed=0, layer="fc1"):
    """Signals of images that are scattered around their classes' means, and the classes of the images."""
    generator = torch.Generator().manual_seed(seed)
    means = strength * torch.randn(n_classes, r, generator=generator)
    labels = torch.arange(n_per_class * n_classes) % n_classes
    values = means[labels] + torch.randn(len(labels), r, generator=generator)
    return make_signals(values, layer), labels


def flipped(signals, seed):
    """The same signals with random signs of the singular vectors, and the signs."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(2, (signals.values.shape[1],), generator=generator) * 2 - 1
    maxima = minima = None
    if signals.maxima is not None:
        low, high = signals.minima * signs, signals.maxima * signs
        maxima, minima = torch.maximum(low, high), torch.minimum(low, high)
    return Signals(signals.layer, signals.values * signs, signals.s, signals.group, maxima, minima), signs

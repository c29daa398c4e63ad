"""Outputs of a network drawn from a seed, and their probabilities in float64 by numpy."""

import numpy as np
import torch


def logits(n=40, k=5, seed=0, scale=3.0):
    """Logits of n samples and k classes."""
    return scale * torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


def softmax(x):
    """Probabilities as a float64 array."""
    x = x.double().numpy()
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)

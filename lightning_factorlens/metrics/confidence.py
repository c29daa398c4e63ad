"""How sure the predictions are, and how they spread over the classes: mostly clocks, as overfitting nets are sure."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_factorlens.metrics.consistency import log_probabilities


def confidence(outputs: Tensor) -> float:
    """Mean over images of max_k p_k, from 1/K to 1. ``outputs``: shape (N, K)."""
    return float(log_probabilities(outputs).amax(1).exp().double().mean())


def entropy(outputs: Tensor) -> float:
    """Mean over images of −Σ_k p_k log p_k, from 0 to log K nats. ``outputs``: shape (N, K)."""
    return float(_entropies(log_probabilities(outputs).exp()).mean())


def mutual_information(outputs: Tensor) -> float:
    """Entropy of the mean prediction less the mean entropy: high where predictions are sure and classes all used.

    Bridle et al. (1991, "Unsupervised classifiers, mutual information and phantom targets").

    Args:
        outputs: Shape (N, K).

    Returns:
        From 0 to log K, in nats.
    """
    p = log_probabilities(outputs).exp()
    return max(0.0, float(_entropies(p.double().mean(0, keepdim=True))[0] - _entropies(p).mean()))


def kl_to_uniform(outputs: Tensor) -> float:
    """How far the mean prediction is from all classes alike: log K less its entropy, KL(p̄ ‖ uniform).

    A network that always answers the same agrees with itself about every change of the image; this tells it apart. The
    balance term of information maximisation (Krause, Perona and Gomes 2010, "Discriminative clustering by regularized
    information maximization"). Where the classes are not alike in number it is never 0, and still comparable over time.

    Args:
        outputs: Shape (N, K).

    Returns:
        From 0 to log K, in nats.
    """
    p = log_probabilities(outputs).exp().double().mean(0, keepdim=True)
    return max(0.0, math.log(outputs.shape[1]) - float(_entropies(p)[0]))


def _entropies(p: Tensor) -> Tensor:
    """Of each row, float64."""
    return torch.special.entr(p.double()).sum(1)

"""Confidence of the predictions, and their distribution over the classes.

Over-fitted networks are confident too, so that these numbers change with the epochs whatever the network learns; only
`kl_to_uniform` is part of a stop signal. All are NaN where one of the outputs is no prediction, see
`lightning_factorlens.metrics.probabilities.count_missing`, and where there are no outputs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_factorlens.metrics.probabilities import clip_negative, log_probabilities


def confidence(outputs: Tensor, is_probability: bool | None = None) -> float:
    """Mean over images of max_k p_k.

    Args:
        outputs: Shape (N, K).
        is_probability: See `log_probabilities`.

    Returns:
        From 1/K to 1.

    Example:
        >>> confidence(torch.tensor([[0.25, 0.75]]))
        0.75
    """
    return float(log_probabilities(outputs, is_probability).amax(1).exp().double().mean())


def entropy(outputs: Tensor, is_probability: bool | None = None) -> float:
    """Mean over images of −Σ_k p_k log p_k.

    Args:
        outputs: Shape (N, K).
        is_probability: See `log_probabilities`.

    Returns:
        From 0 to log K, in nats.

    Example:
        >>> round(entropy(torch.zeros(3, 2)), 4)
        0.6931
    """
    probabilities = log_probabilities(outputs, is_probability).exp()
    return float(_row_entropies(probabilities).mean())


def mutual_information(outputs: Tensor, is_probability: bool | None = None) -> float:
    """Entropy of the mean prediction minus the mean entropy: high for confident predictions that use all classes.

    Bridle, Heading and MacKay (1991), "Unsupervised classifiers, mutual information and 'phantom targets'".

    Args:
        outputs: Shape (N, K).
        is_probability: See `log_probabilities`.

    Returns:
        From 0 to log K, in nats.

    Example:
        >>> round(mutual_information(100 * torch.eye(2)), 4)
        0.6931
    """
    probabilities = log_probabilities(outputs, is_probability).exp()
    mean_prediction = probabilities.double().mean(0, keepdim=True)
    difference = _row_entropies(mean_prediction)[0] - _row_entropies(probabilities).mean()
    return clip_negative(float(difference))


def kl_to_uniform(outputs: Tensor, is_probability: bool | None = None) -> float:
    """Imbalance of the predicted classes: KL(p̄ ‖ uniform) = log K − H(p̄), where p̄ is the mean prediction.

    A network that predicts the same class for every image is consistent under every change of the image; this term
    detects it. It is the balance term of Krause, Perona and Gomes (2010), "Discriminative clustering by regularized
    information maximization". For classes of unequal size it never reaches 0, but its values over time remain
    comparable.

    Args:
        outputs: Shape (N, K).
        is_probability: See `log_probabilities`.

    Returns:
        From 0 to log K, in nats.

    Example:
        >>> kl_to_uniform(torch.tensor([[0.0, 0.0], [0.0, 0.0]]))
        0.0
    """
    mean_prediction = log_probabilities(outputs, is_probability).exp().double().mean(0, keepdim=True)
    return clip_negative(math.log(outputs.shape[1]) - float(_row_entropies(mean_prediction)[0]))


def _row_entropies(probabilities: Tensor) -> Tensor:
    """Entropy of each row, float64."""
    return torch.special.entr(probabilities.double()).sum(1)

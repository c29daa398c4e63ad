"""Change of the predictions for the same images between two observations.

Yuan, Feng and Liu (2024), "Early stopping against label noise without validation data" (Label Wave), stop where the
changes on the training set are fewest; on unlabelled images the quantity is the same. Under an annealed learning rate
the changes fall with the rate itself, whatever the network learns.
"""

from __future__ import annotations

import math

from torch import Tensor

from lightning_factorlens.metrics.probabilities import count_missing, log_probabilities


def prediction_changes(before: Tensor, outputs: Tensor) -> float:
    """Fraction of the images whose predicted class changed.

    Args:
        before: Outputs at the earlier observation, shape (N, K).
        outputs: Outputs at this observation for the same images, shape (N, K).

    Returns:
        From 0 to 1; NaN where an output of either is no prediction, and where there are none.

    Example:
        >>> import torch
        >>> prediction_changes(torch.eye(2), torch.eye(2).flip(0))
        1.0
    """
    if count_missing(before) or count_missing(outputs):
        return math.nan  # `argmax` would take the class of the NaN
    return float((before.argmax(1) != outputs.argmax(1)).double().mean())


def mean_total_variation(before: Tensor, outputs: Tensor, is_probability: bool | None = None) -> float:
    """Mean over images of ½ Σ_k |p_k − q_k| between the predictions of two observations.

    It also measures changes of the probabilities that leave the predicted class unchanged.

    Args:
        before: Outputs at the earlier observation, shape (N, K).
        outputs: Outputs at this observation for the same images, shape (N, K).
        is_probability: See `log_probabilities`, which decides for each tensor if it is None.

    Returns:
        From 0 to 1; NaN where an output of either is no prediction, and where there are none.

    Example:
        >>> import torch
        >>> mean_total_variation(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.75, 0.25]]))
        0.25
    """
    p = log_probabilities(before, is_probability).exp()
    q = log_probabilities(outputs, is_probability).exp()
    return float(0.5 * (p - q).abs().sum(1).double().mean())

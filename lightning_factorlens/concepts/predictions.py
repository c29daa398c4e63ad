"""The predicted class of every sample."""

from __future__ import annotations

from torch import Tensor


def predicted_classes(scores: Tensor | None) -> Tensor | None:
    """The class with the largest score; the first one of several.

    Args:
        scores: Logits or probabilities, shape (N, K); None where the output is not read as class scores.

    Returns:
        Shape (N,), int64, −1 where a score is NaN or +∞; None for None.

    Example:
        >>> import torch
        >>> predicted_classes(torch.tensor([[0.1, 0.9], [0.3, torch.nan]])).tolist()
        [1, -1]
    """
    if scores is None:
        return None
    is_prediction = (scores < float("inf")).all(1)  # false for NaN too; −∞ is the logit of a probability of 0
    return scores.argmax(1).where(is_prediction, -1)

"""Predicted probabilities from logits, log probabilities or probabilities."""

from __future__ import annotations

import torch
from torch import Tensor


def log_probabilities(outputs: Tensor) -> Tensor:
    """Log p from logits, log probabilities or probabilities, which are recognised by the sums of their rows.

    Args:
        outputs: Shape (N, K).

    Returns:
        Shape (N, K), float32.

    Example:
        >>> log_probabilities(torch.tensor([[0.5, 0.5]])).exp()
        tensor([[0.5000, 0.5000]])
    """
    outputs = outputs.float()
    row_sums = outputs.sum(1)
    is_probability = bool((outputs >= 0).all()) and bool(((row_sums - 1).abs() < 1e-3).all())
    if is_probability:
        return outputs.clamp_min(torch.finfo(torch.float32).tiny).log()
    return outputs.log_softmax(1)  # log probabilities stay as they are

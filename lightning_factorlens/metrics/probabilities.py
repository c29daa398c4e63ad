"""Predicted probabilities from logits, log probabilities or probabilities, and answers that give none."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.linalg.row_sums import sums_to_one


def log_probabilities(outputs: Tensor, is_probability: bool | None = None, axis: int = 1) -> Tensor:
    """Log p from logits, log probabilities or probabilities.

    Probabilities are divided by their sum, which rounding to a narrow dtype moves away from 1, and those below the
    smallest normal float32, 1.2e-38, count as that number. Logits of −inf are probabilities of 0.

    Args:
        outputs: Shape (N, K).
        is_probability: Whether they are probabilities. None decides it for the whole tensor: all are non-negative, and
            the sums of all rows are 1 within the rounding of their dtype, see `sums_to_one`. Logits can have such sums
            by chance, so it should be said wherever it is known.
        axis: The axis of the classes, for outputs of more than two axes.

    Returns:
        Shape (N, K), float32, or float64 for float64. Rows that are no prediction are NaN: they hold a NaN or an
        infinite logit, all of their logits are −inf, or the sum of their probabilities is infinite or not above 0.

    Example:
        >>> log_probabilities(torch.tensor([[0.5, 0.5]])).exp()
        tensor([[0.5000, 0.5000]])
        >>> log_probabilities(torch.tensor([[0.5, 0.5]]), is_probability=False).exp()
        tensor([[0.5000, 0.5000]])
    """
    if is_probability is None:
        is_probability = sums_to_one(outputs, axis)
    values = outputs if outputs.dtype == torch.float64 else outputs.float()
    if is_probability:
        sums = values.sum(axis, keepdim=True)
        is_prediction = sums.isfinite() & (sums > 0)
        values = values / sums.where(is_prediction, torch.nan)
        return values.clamp_min(torch.finfo(torch.float32).tiny).log()
    return values.log_softmax(axis)  # log probabilities stay as they are


def count_missing(outputs: Tensor, axis: int = 1) -> int:
    """Number of samples whose outputs are no prediction; no value can be computed from outputs that hold one.

    Args:
        outputs: Shape (N, …).
        axis: The axis of the classes.

    Returns:
        How many samples hold a NaN or +inf, or have −inf for every class at some position.

    Example:
        >>> count_missing(torch.tensor([[0.0, torch.nan], [0.0, -torch.inf], [-torch.inf, -torch.inf]]))
        2
    """
    if outputs.numel() == 0:
        return 0
    largest = outputs.amax(axis)
    is_missing = ~largest.isfinite()  # `amax` gives NaN where there is one
    return int(is_missing.reshape(len(outputs), -1).any(1).sum())


def clip_negative(value: float) -> float:
    """A quantity that is non-negative but for rounding; NaN stays NaN, which ``max(0.0, value)`` would make 0.

    Example:
        >>> clip_negative(-1e-17), clip_negative(torch.nan), clip_negative(0.5)
        (0.0, nan, 0.5)
    """
    return 0.0 if value < 0 else value

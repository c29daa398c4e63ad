"""Wilson's interval for a share of images."""

from __future__ import annotations

from statistics import NormalDist

import torch
from torch import Tensor


def wilson_interval(counts: Tensor, sizes: Tensor, confidence: float) -> tuple[Tensor, Tensor]:
    """The interval of Wilson (1927), "Probable inference, the law of succession, and statistical inference".

    Args:
        counts: Number of images that have a property, at most ``sizes``; any shape that broadcasts with ``sizes``.
        sizes: Number of images, at least 1.
        confidence: Probability with which the interval holds the share, above 0 and below 1.

    Returns:
        The lower and the upper ends, float64.

    Example:
        >>> lower, upper = wilson_interval(torch.tensor([0, 8, 10]), torch.tensor(10), 0.95)
        >>> lower.round(decimals=3).tolist(), upper.round(decimals=3).tolist()
        ([0.0, 0.49, 0.722], [0.278, 0.943, 1.0])
    """
    counts = counts.double()
    sizes = sizes.double()
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    center = counts + z * z / 2
    half_width = z * (counts * (sizes - counts) / sizes + z * z / 4).sqrt()
    lower = ((center - half_width) / (sizes + z * z)).clamp_min(0.0)
    upper = ((center + half_width) / (sizes + z * z)).clamp_max(1.0)
    # Rounding must not move the ends that are exact.
    return lower.where(counts > 0, 0.0), upper.where(counts < sizes, torch.ones_like(upper))

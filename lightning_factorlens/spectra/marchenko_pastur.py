"""The spectrum that pure noise would have, and the eigenvalues outside it.

Marchenko and Pastur (1967); the noise level from the median eigenvalue as Gavish and Donoho (2014, "The Optimal Hard
Threshold for Singular Values is 4/√3"), which spikes do not move; the edge of finite matrices from Johnstone (2001,
"On the distribution of the largest eigenvalue in principal components analysis").
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from torch import Tensor

#: Rows or columns below which a spectrum has no bulk to speak of.
NARROW_BELOW = 20
#: The Tracy–Widom law of real matrices lies above this with a chance of 1 in 1,000.
_TRACY_WIDOM = 3.2724


class Bulk(NamedTuple):
    """The noise in a spectrum.

    Attributes:
        edge: Where the bulk ends; a noise matrix has an eigenvalue above it once in a thousand. NaN if unknown.
        spikes: Eigenvalues above ``edge``; None if unknown.
        variance: Of an entry of the noise.
    """

    edge: float
    spikes: int | None
    variance: float


def bulk_edge(eigenvalues: Tensor, shape: tuple[int, ...]) -> Bulk:
    """Marchenko–Pastur edge of matrices with the bulk of these eigenvalues, and the number of spikes outside it.

    With N columns, M ≤ N rows and entries of variance v: v·(μ + 3.27·σ), where μ = (√(N − 1) + √M)² and
    σ = √μ·(1/√(N − 1) + 1/√M)^⅓. v is the median eigenvalue over the median of the law for v = 1.

    Args:
        eigenvalues: σ² of one matrix or of several of one shape, pooled, zeros included; any order.
        shape: (rows, columns) of each matrix.

    Returns:
        The edge; unknown for matrices with fewer than 20 rows or columns, without a spectrum or half of it zero.
    """
    unknown = Bulk(math.nan, None, math.nan)
    if not eigenvalues.numel() or len(shape) != 2 or min(shape) < NARROW_BELOW or not eigenvalues.isfinite().all():
        return unknown
    M, N = sorted(shape)
    x = eigenvalues.detach().double().cpu().numpy().ravel()
    variance = float(np.median(x)) / (N * mp_median(M / N))
    # Below this the median is the rounding of a matrix of half its rank.
    if variance * N <= 1e-12 * x.max():
        return unknown
    mu = (math.sqrt(N - 1) + math.sqrt(M)) ** 2
    sigma = math.sqrt(mu) * (1 / math.sqrt(N - 1) + 1 / math.sqrt(M)) ** (1 / 3)
    edge = variance * (mu + _TRACY_WIDOM * sigma)
    return Bulk(edge, int((x > edge).sum()), variance)


@lru_cache(maxsize=1024)
def mp_median(ratio: float) -> float:
    """Median of the Marchenko–Pastur law of unit variance, eigenvalues of X Xᵀ / N with M / N = ``ratio`` ≤ 1."""
    # x = middle + half·cos θ removes the square roots at both edges; the middles of the steps avoid x = 0 at ratio 1.
    middle, half, steps = 1 + ratio, 2 * math.sqrt(ratio), 20000
    ends = math.pi * (1 - np.arange(steps + 1) / steps)
    theta = (ends[1:] + ends[:-1]) / 2
    mass = np.append(0, np.cumsum((half * np.sin(theta)) ** 2 / (middle + half * np.cos(theta))))
    return middle + half * math.cos(float(np.interp(mass[-1] / 2, mass, ends)))

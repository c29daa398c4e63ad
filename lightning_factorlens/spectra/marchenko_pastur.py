"""The spectrum of random noise, and the eigenvalues outside it.

Marchenko and Pastur (1967), "Distribution of eigenvalues for some sets of random matrices". The noise level follows
from the median eigenvalue, which a few large eigenvalues do not change: Gavish and Donoho (2014), "The optimal hard
threshold for singular values is 4/√3". The edge of finite matrices is that of Johnstone (2001), "On the distribution of
the largest eigenvalue in principal components analysis".
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from torch import Tensor

#: With fewer rows or columns a matrix has no distinguishable bulk.
NARROW_BELOW = 20
#: The value that the Tracy–Widom law of real matrices exceeds with probability 1/1,000.
_TRACY_WIDOM = 3.2724
_QUADRATURE_STEPS = 20000


class MarchenkoPasturBulk(NamedTuple):
    """The part of a spectrum that is noise.

    Attributes:
        edge: Upper edge of the bulk; the largest eigenvalue of a noise matrix exceeds it with probability 1/1,000. NaN
            if unknown.
        spikes: Number of eigenvalues above ``edge``; None if unknown.
        variance: Variance of an entry of the noise.
    """

    edge: float
    spikes: int | None
    variance: float


def bulk_edge(eigenvalues: Tensor, shape: tuple[int, ...]) -> MarchenkoPasturBulk:
    """Estimates the Marchenko–Pastur edge of the bulk of a spectrum, and counts the eigenvalues above it.

    With N columns, M ≤ N rows and entries of variance v, the edge is v·(μ + 3.27·σ), where μ = (√(N − 1) + √M)² and
    σ = √μ·(1/√(N − 1) + 1/√M)^⅓. v is the median eigenvalue divided by the median of the law for v = 1.

    Args:
        eigenvalues: σ² of one matrix, or of several of one shape, pooled; zeros included, in any order.
        shape: (rows, columns) of each matrix.

    Returns:
        The bulk. It is unknown for matrices with fewer than 20 rows or columns, without a finite spectrum, or with at
        least half of the spectrum zero.

    Example:
        >>> import torch
        >>> noise = torch.randn(50, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        >>> bulk_edge(torch.linalg.svdvals(noise).square(), (50, 200)).spikes
        0
        >>> bulk_edge(torch.linalg.svdvals(noise + 1).square(), (50, 200)).spikes
        1
    """
    unknown = MarchenkoPasturBulk(math.nan, None, math.nan)
    if not eigenvalues.numel() or len(shape) != 2 or min(shape) < NARROW_BELOW or not eigenvalues.isfinite().all():
        return unknown
    M, N = sorted(shape)
    x = eigenvalues.detach().double().cpu().numpy().ravel()
    variance = float(np.median(x)) / (N * mp_median(M / N))
    # Below this the median is rounding, and at least half of the matrix's singular values are zero.
    if variance * N <= 1e-12 * x.max():
        return unknown
    mu = (math.sqrt(N - 1) + math.sqrt(M)) ** 2
    sigma = math.sqrt(mu) * (1 / math.sqrt(N - 1) + 1 / math.sqrt(M)) ** (1 / 3)
    edge = variance * (mu + _TRACY_WIDOM * sigma)
    return MarchenkoPasturBulk(edge, int((x > edge).sum()), variance)


@lru_cache(maxsize=1024)
def mp_median(ratio: float) -> float:
    """Median of the Marchenko–Pastur law of unit variance, that of the eigenvalues of X Xᵀ / N.

    Args:
        ratio: M / N ≤ 1 for X of shape (M, N).

    Returns:
        The median, by quadrature with 20,000 steps.

    Example:
        >>> round(mp_median(1.0), 3)
        0.653
    """
    # With x = middle + half·cos θ the density has no square roots at the edges. The midpoints avoid x = 0 at ratio 1.
    middle = 1 + ratio
    half = 2 * math.sqrt(ratio)
    ends = math.pi * (1 - np.arange(_QUADRATURE_STEPS + 1) / _QUADRATURE_STEPS)
    theta = (ends[1:] + ends[:-1]) / 2
    mass = np.append(0, np.cumsum((half * np.sin(theta)) ** 2 / (middle + half * np.cos(theta))))
    return middle + half * math.cos(float(np.interp(mass[-1] / 2, mass, ends)))

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
#: Probability that the largest eigenvalue of noise exceeds the edge.
FALSE_SPIKE_RATE = 1e-3
#: The value that the Tracy–Widom law of real matrices exceeds with that probability.
_TRACY_WIDOM = 3.2724
#: Coefficient and exponent of M / N in what an estimated variance adds to that value, times √M. Measured: the 99.9
#: percentile of Gaussian matrices from 20 × 20 to 512 × 4,608.
_MEDIAN_COEFFICIENT = 13.0
_MEDIAN_EXPONENT = 0.85
#: A spectrum is flat if the logarithm of its largest eigenvalue over its median is less than this fraction of that of
#: noise.
_FLAT_BELOW = 0.25
_QUADRATURE_STEPS = 20000


class MarchenkoPasturBulk(NamedTuple):
    """The part of a spectrum that is noise.

    Attributes:
        edge: Upper edge of the bulk; the largest of all eigenvalues of noise exceeds it with probability 1/1,000,
            within a factor of 2. NaN if unknown.
        spikes: Number of eigenvalues above ``edge``; None if unknown.
        variance: Variance of an entry of the noise.
    """

    edge: float
    spikes: int | None
    variance: float


def bulk_edge(eigenvalues: Tensor, shape: tuple[int, ...]) -> MarchenkoPasturBulk:
    """Estimates the Marchenko–Pastur edge of the bulk of a spectrum, and counts the eigenvalues above it.

    With N columns, M ≤ N rows and entries of variance v, the edge is v·(μ + s·σ), where μ = (√(N − 1) + √M)² and
    σ = √μ·(1/√(N − 1) + 1/√M)^⅓. v is the median eigenvalue divided by the median of the law for v = 1. For b pooled
    matrices, s = t + 13·(M/N)^0.85/√(M·b): t is the quantile of the Tracy–Widom law at 1 − 0.001/b (3.27 for
    b = 1), and the second term allows for the error of v, without which 2 % of 20 × 20 matrices had a false spike.

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
    b = max(1.0, x.size / M)
    allowance = _MEDIAN_COEFFICIENT * (M / N) ** _MEDIAN_EXPONENT / math.sqrt(M * b)
    edge = variance * (mu + (_tracy_widom_quantile(FALSE_SPIKE_RATE / b) + allowance) * sigma)
    return MarchenkoPasturBulk(edge, int((x > edge).sum()), variance)


@lru_cache(maxsize=1024)
def _tracy_widom_quantile(probability: float) -> float:
    """The value that the Tracy–Widom law of real matrices exceeds with a probability of at most 1/1,000.

    By bisection of the law's asymptotic tail exp(−⅔·s^1.5) / (4√π·s^0.75), scaled to the known value at 1/1,000.
    """
    low = _TRACY_WIDOM
    high = 100.0
    wanted = math.log(probability / FALSE_SPIKE_RATE) + _log_tail(_TRACY_WIDOM)
    for _ in range(50):
        middle = (low + high) / 2
        if _log_tail(middle) > wanted:
            low = middle
        else:
            high = middle
    return low


def _log_tail(s: float) -> float:
    return -2 / 3 * s**1.5 - 0.75 * math.log(s)


def flat_spectrum_reason(eigenvalues: Tensor, shape: tuple[int, ...]) -> str:
    """Explains that a spectrum is much narrower than that of noise, as those of orthogonal weights are.

    An exponent fitted to it would measure rounding or a small deviation from an orthogonal matrix, not a tail.

    Args:
        eigenvalues: As for `bulk_edge`. Those below 1e-10 of the largest one are left out.
        shape: (rows, columns) of each matrix.

    Returns:
        The reason in words where log(λ_max / median) is less than a quarter of that of the Marchenko–Pastur law for
        this shape; otherwise empty.

    Example:
        >>> import torch
        >>> flat_spectrum_reason(torch.ones(64), (64, 64))
        'the eigenvalues are almost equal (largest / median = 1), as those of an orthogonal weight: not a power law'
        >>> flat_spectrum_reason(torch.arange(64.0), (64, 64))
        ''
    """
    x = eigenvalues.detach().double().cpu()
    if not x.numel() or len(shape) != 2 or not x.isfinite().all() or x.max() <= 0:
        return ""
    if flat_spectrum_margin(x, shape) >= 0:
        return ""
    return (
        f"the eigenvalues are almost equal (largest / median = {_largest_by_median(x):.3g}), as those of an orthogonal "
        "weight: not a power law"
    )


def flat_spectrum_margin(eigenvalues: Tensor, shape: tuple[int, ...]) -> float:
    """How far a spectrum is from being flat, see `flat_spectrum_reason`.

    Args:
        eigenvalues: As for `bulk_edge`, finite, float64, on the CPU, at least one positive.
        shape: (rows, columns) of each matrix.

    Returns:
        log(λ_max / median) less a quarter of that of noise; negative for a flat spectrum.

    Example:
        >>> import torch
        >>> flat_spectrum_margin(torch.ones(64), (64, 64)) < 0 < flat_spectrum_margin(torch.arange(64.0), (64, 64))
        True
    """
    M, N = sorted(shape)
    noise_ratio = (1 + math.sqrt(M / N)) ** 2 / mp_median(M / N)
    return math.log(_largest_by_median(eigenvalues)) - _FLAT_BELOW * math.log(noise_ratio)


def _largest_by_median(eigenvalues: Tensor) -> float:
    """The largest eigenvalue by the lower median of what is left of a rank-deficient matrix."""
    x = eigenvalues.numpy().ravel()
    largest = x.max()
    kept = x[x > 1e-10 * largest]
    middle = (kept.size - 1) // 2
    return float(largest / np.partition(kept, middle)[middle])


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

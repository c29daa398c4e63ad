"""The tails of a sample of eigenvalues, and the exponent that maximum likelihood gives each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightning_factorlens.results import PowerLawFit

Array = NDArray[np.float64]

#: With fewer eigenvalues than this, α is noise.
WEAK_BELOW = 20
_MIN_MEAN_LOG_RATIO = 1e-12  # mean log(x / x_min) of a tail whose values differ by more than rounding


@dataclass(frozen=True)
class Tails:
    """The tails of a sample, each of which begins at another of its values.

    Attributes:
        x: The values at which a tail begins, ascending, shape (m,).
        log_x: Their logarithms.
        below: Number of values below each.
        log_ratios: Sum of log(x / x_min) over each tail.
        slope: α − 1 of each tail.
        candidates: Indices of the tails that may be chosen, ascending.
        n: Number of values.
    """

    x: Array
    log_x: Array
    below: Array
    log_ratios: Array
    slope: Array
    candidates: NDArray[np.intp]
    n: int

    def size(self, index: int) -> int:
        """Number of values in the tail with this index."""
        return self.n - int(self.below[index])


def find_tails(
    eigenvalues: Tensor,
    threshold: float = 1e-10,
    relative: bool = True,
    min_tail: int = 2,
    min_eigenvalues: int = 8,
    every_tie: bool = False,
    small_sample: bool = False,
) -> Tails | PowerLawFit:
    """The tails from which `fit_power_law` chooses, for arguments of the same names.

    Args:
        eigenvalues: See `fit_power_law`.
        threshold: See `fit_power_law`.
        relative: See `fit_power_law`.
        min_tail: See `fit_power_law`.
        min_eigenvalues: See `fit_power_law`.
        every_tie: Whether each of several equal values is a candidate.
        small_sample: See `fit_power_law`.

    Returns:
        The tails, or a fit with the reason why there are none.

    Example:
        >>> import torch
        >>> find_tails(torch.arange(1.0, 11.0)).candidates
        array([0, 1, 2, 3, 4, 5, 6, 7, 8])
    """
    x = np.sort(eigenvalues.detach().double().cpu().numpy().ravel())
    if not np.isfinite(x).all():
        return no_fit(x.size, "the eigenvalues are not all finite")
    x = _above_threshold(x, threshold, relative)
    n = x.size
    needed = max(min_eigenvalues, 2)
    if n < needed:
        return no_fit(n, f"{n} eigenvalues above the threshold, at least {needed} are needed")
    small = small_sample and n < WEAK_BELOW
    if small:
        min_tail = max(min_tail, min(8, n))
    log_x = np.log(x)
    n_in_tail = np.arange(n, 0, -1.0)
    log_ratios = _summed_log_ratios(log_x, n_in_tail)
    start = np.arange(n) if every_tie else np.flatnonzero(np.append(True, x[1:] > x[:-1]))
    rounding = _MIN_MEAN_LOG_RATIO * n_in_tail[start]
    candidates = np.flatnonzero((n_in_tail[start] >= min_tail) & (log_ratios[start] > rounding))
    if not candidates.size:
        return no_fit(n, f"no tail of {min_tail} or more eigenvalues that differ by more than rounding")
    # The maximum changes no candidate. It prevents a division by 0 at the largest values, whose slope is never used.
    slope = (n_in_tail[start] - small) / np.maximum(log_ratios[start], rounding)
    return Tails(x[start], log_x[start], start.astype(float), log_ratios[start], slope, candidates, n)


def no_fit(n: int, reason: str) -> PowerLawFit:
    """The record of a spectrum without a fit.

    Args:
        n: Number of eigenvalues above the threshold.
        reason: Why there is no fit, in words.

    Returns:
        A record whose numbers are NaN.

    Example:
        >>> no_fit(3, "too few eigenvalues").alpha
        nan
    """
    nan = math.nan
    return PowerLawFit(alpha=nan, sigma=nan, x_min=nan, ks_distance=nan, n_tail=0, n=n, reason=reason)


def _above_threshold(x: Array, threshold: float, relative: bool) -> Array:
    """The values above the threshold, of ascending ones."""
    if not x.size:
        return x
    lowest = threshold
    if relative:
        lowest = threshold * x[-1]
    return x[x > max(lowest, 0.0)]


def _summed_log_ratios(log_x: Array, n_in_tail: Array) -> Array:
    """Σ log(x / x_i) over the tail from each x_i, summed from the largest gap down: all terms are non-negative."""
    gaps = np.diff(log_x) * n_in_tail[1:]
    return np.append(np.cumsum(gaps[::-1])[::-1], 0.0)

"""Continuous power laws: Clauset, Shalizi and Newman (2009), "Power-law distributions in empirical data"."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightning_factorlens.results import PowerLawFit
from lightning_factorlens.spectra.alpha_correction import correct_alpha
from lightning_factorlens.spectra.ks_distance import largest_plausible_tail, smallest_ks

Array = NDArray[np.float64]

#: Beyond this α, the values of a tail are equal to within 0.5 %: ties, not a power law.
MAX_ALPHA = 201.0
#: With fewer eigenvalues than this, α is noise.
WEAK_BELOW = 20
_MIN_MEAN_LOG_RATIO = 1e-12  # mean log(x / x_min) of a tail whose values differ by more than rounding


def fit_power_law(
    eigenvalues: Tensor,
    *,
    threshold: float = 1e-10,
    relative: bool = True,
    min_tail: int = 2,
    min_eigenvalues: int = 8,
    ties: Literal["distinct", "each"] = "distinct",
    small_sample: bool = False,
) -> PowerLawFit:
    """Fits p(x) ∝ x^(−α), x ≥ x_min, with the x_min of the smallest Kolmogorov–Smirnov distance.

    For every candidate x_min, α = 1 + n / Σ log(x / x_min) over the n values of its tail (eq. 3.1 of Clauset et al.).
    The distance compares the fitted distribution function with the fraction of values *below* each value, as do the
    authors' own code, ``powerlaw`` 1.x and weightwatcher.

    Args:
        eigenvalues: Values of any shape and order, on any device.
        threshold: Values at or below it are left out. They could only be candidates for x_min, since no tail that
            begins above contains them. The default keeps all values that float64 Gram eigenvalues resolve.
        relative: Whether ``threshold`` is a fraction of the largest value, so that α does not depend on the scale of
            the weights, or absolute.
        min_tail: Smallest number of values in a tail.
        min_eigenvalues: With fewer values than this (and with fewer than 2) there is no α.
        ties: ``"distinct"``: equal values are one candidate and one step of the distribution function, as in
            ``powerlaw``. ``"each"``: each of them is a candidate and a step, as in weightwatcher. Both give the same
            result when no two values are equal.
        small_sample: Below 20 values, replace n by n − 1 in α and require tails of at least 8 values, as weightwatcher
            0.7.7 does.

    Returns:
        The fit; ``n`` counts the values above the threshold. α is NaN, with the reason in words, when nothing can be
        fitted, and when the values of the tail are equal to within 0.5 % (α above 201), as those of an orthogonal
        weight, where α would measure rounding. Below 20 values there is an α, and the reason calls it weak. α is biased
        upwards, see `alpha_correction`; ``alpha_corrected`` is not.

    Raises:
        ValueError: If ``ties`` is unknown.

    Example:
        >>> import torch
        >>> u = torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        >>> fit = fit_power_law((1 - u) ** -0.5)  # a power law with α = 3
        >>> abs(fit.alpha - 3) < 2 * fit.sigma
        True
        >>> fit_power_law(torch.ones(3)).reason
        '3 eigenvalues above the threshold, at least 8 are needed'
    """
    if ties not in ("distinct", "each"):
        raise ValueError(f'ties must be "distinct" or "each", found {ties!r}')
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
    start = np.arange(n) if ties == "each" else np.flatnonzero(np.append(True, x[1:] > x[:-1]))
    rounding = _MIN_MEAN_LOG_RATIO * n_in_tail[start]
    candidates = np.flatnonzero((n_in_tail[start] >= min_tail) & (log_ratios[start] > rounding))
    if not candidates.size:
        return no_fit(n, f"no tail of {min_tail} or more eigenvalues that differ by more than rounding")
    # The maximum changes no candidate. It prevents a division by 0 at the largest values, whose slope is never used.
    slope = (n_in_tail[start] - small) / np.maximum(log_ratios[start], rounding)
    below = start.astype(float)
    best, distance = smallest_ks(log_x[start], below, slope, candidates, n)

    alpha = 1.0 + float(slope[best])
    n_tail = n - int(start[best])
    if alpha > MAX_ALPHA:
        return no_fit(n, _too_steep(alpha, n_tail))
    reason = ""
    if n < WEAK_BELOW:
        reason = f"weak: {n} eigenvalues, α on fewer than {WEAK_BELOW} is noise"
    n_plausible = largest_plausible_tail(log_x[start], below, slope, candidates, n, n_tail)
    corrected = correct_alpha(n_tail / float(log_ratios[start[best]]), n_tail, n_plausible)
    return PowerLawFit(
        alpha=alpha,
        sigma=(alpha - 1) / math.sqrt(n_tail),
        x_min=float(x[start[best]]),
        ks_distance=distance,
        n_tail=n_tail,
        n=n,
        reason=reason,
        alpha_corrected=corrected.alpha,
        alpha_low=corrected.low,
        alpha_high=corrected.high,
    )


def _above_threshold(x: np.ndarray[Any, np.dtype[np.float64]], threshold: float, relative: bool) -> Any:
    """The values above the threshold, of ascending ones."""
    if not x.size:
        return x
    lowest = threshold
    if relative:
        lowest = threshold * x[-1]
    return x[x > max(lowest, 0.0)]


def _too_steep(alpha: float, n_tail: int) -> str:
    """Why a tail of nearly equal values has no α."""
    spread = 100 / (alpha - 1)
    return (
        f"the {n_tail} largest eigenvalues are equal to within {spread:.1g} %, as those of an orthogonal weight: "
        "not a power law"
    )


def fit_like_weightwatcher(eigenvalues: Tensor) -> PowerLawFit:
    """Fits by the rules of weightwatcher 0.7.7 on the CPU, for comparison with its tables.

    Args:
        eigenvalues: Values of any shape.

    Returns:
        The fit to the eigenvalues above 1e-5. The threshold is absolute, so α depends on the scale of the weights.

    Example:
        >>> import torch
        >>> fit_like_weightwatcher(torch.tensor([1e-6, 1.0, 2.0, 4.0])).n
        3
    """
    return fit_power_law(eigenvalues, threshold=1e-5, relative=False, min_eigenvalues=2, ties="each", small_sample=True)


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


def _summed_log_ratios(log_x: Array, n_in_tail: Array) -> Array:
    """Σ log(x / x_i) over the tail from each x_i, summed from the largest gap down: all terms are non-negative."""
    gaps = np.diff(log_x) * n_in_tail[1:]
    return np.append(np.cumsum(gaps[::-1])[::-1], 0.0)

"""The bias of a fitted exponent α, and an interval that contains α.

With x_min fixed, Σ log(x / x_min) over the n values of a tail, one of which is x_min, is a sum of n − 1 exponential
variables, so that n / Σ log(x / x_min), the estimate of α − 1 (Clauset, Shalizi and Newman (2009), "Power-law
distributions in empirical data", eq. 3.1), has the mean (α − 1)·n / (n − 2). Choosing x_min by the smallest
Kolmogorov–Smirnov distance adds to this bias and to the variance: the more, the more of the values that follow the law
it leaves out. How many do is estimated by the largest tail that a test does not distinguish from a power law. The two
constants below were measured with samples of a power law; the result does not depend on α, because the fit is
equivariant under powers of x. ``benchmarks/spectra`` measures bias and coverage.
"""

from __future__ import annotations

import math
from typing import NamedTuple

#: With fewer values in a tail the variance of the estimate is infinite.
MIN_TAIL = 4
_SELECTION_BIAS = 5.3  # relative bias, times n_tail and over the fraction left out
_SELECTION_VARIANCE = 3.0  # relative increase of the variance, over the fraction left out
_Z = 1.959964  # quantile of the normal distribution for an interval of 95 %


class CorrectedAlpha(NamedTuple):
    """An estimate of α without the bias of the plain one.

    Attributes:
        alpha: The estimate.
        low: Lower end of an interval that contains α with probability 95 %.
        high: Its upper end.
    """

    alpha: float
    low: float
    high: float


def correct_alpha(slope: float, n_tail: int, n_plausible: int) -> CorrectedAlpha:
    """Corrects a maximum-likelihood estimate of α.

    Args:
        slope: n_tail / Σ log(x / x_min), the plain estimate of α − 1.
        n_tail: Number of values in the tail.
        n_plausible: Number of values in the largest tail that is not distinguished from a power law, at least
            ``n_tail``.

    Returns:
        The estimate and its interval; NaN for tails of fewer than 4 values. The interval is that of a gamma
        distribution, by the approximation of Wilson and Hilferty (1931), "The distribution of chi-square".

    Example:
        >>> corrected = correct_alpha(slope=2.0, n_tail=100, n_plausible=100)
        >>> [round(value, 2) for value in corrected]
        [2.96, 2.59, 3.36]
    """
    if n_tail < MIN_TAIL:
        return CorrectedAlpha(math.nan, math.nan, math.nan)
    left_out = 1 - n_tail / n_plausible
    corrected = slope * (n_tail - 2) / (n_tail + _SELECTION_BIAS * left_out)
    shape = n_tail / (1 + _SELECTION_VARIANCE * left_out)
    ends = []
    for z in (-_Z, _Z):
        root = 1 - 1 / (9 * shape) + z / (3 * math.sqrt(shape))
        ends.append(1 + corrected * max(root, 0.0) ** 3)
    return CorrectedAlpha(1 + corrected, *ends)

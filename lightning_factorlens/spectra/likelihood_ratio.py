"""Power law against lognormal and truncated power law: Vuong's likelihood-ratio test (1989, Econometrica 57:307).

On y = log(x / x_min) ≥ 0 all three are p(y) ∝ exp(−a·y − b·s(y)): the power law has b = 0 and a = α − 1, the
truncated one (density x^−α·exp(−λx)) s = e^y with b = λ·x_min, the lognormal s = y² with b = 1/(2σ²). An exponential
family has a concave likelihood, so that Newton's method cannot stop at a wrong summit, as a simplex search does.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightning_factorlens.results import PowerLawFit

Array = NDArray[np.float64]
Alternative = Literal["lognormal", "truncated_power_law"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)
_DEPTH = 45.0  # the integrals end where the density has fallen by e^-45
_STEPS = 100


class LikelihoodRatioTest(NamedTuple):
    """Outcome of one test.

    Attributes:
        ratio: Log-likelihood of the power law less the alternative's: above 0 the power law does better.
        normalized: ``ratio`` / (√n · standard deviation of the pointwise differences), Vuong's statistic.
        p_value: Chance of a ratio so far from 0 were both equally good: above 0.1 its sign says nothing. For the
            truncated law, which contains the power law, the nested test (Wilks): is the truncation needed?
    """

    ratio: float
    normalized: float
    p_value: float


def compare_power_law(eigenvalues: Tensor, fit: PowerLawFit, alternative: Alternative) -> LikelihoodRatioTest:
    """Both laws by maximum likelihood on the tail x ≥ x_min of ``fit``, and the test of their difference.

    Args:
        eigenvalues: What ``fit`` was fitted to, any shape.
        fit: Its power law; gives x_min and α.
        alternative: ``"lognormal"`` or ``"truncated_power_law"``. The truncated law's own α may fall to any value
            (``powerlaw`` bounds it at 1).

    Returns:
        The comparison; ratio 0 and p-value 1 where the best alternative *is* the power law (b = 0); all NaN for a
        fit without α.

    Raises:
        ValueError: If ``alternative`` is neither of its two words.
    """
    if alternative not in ("lognormal", "truncated_power_law"):
        raise ValueError(f'alternative must be "lognormal" or "truncated_power_law", found {alternative!r}')
    if not math.isfinite(fit.alpha):
        return LikelihoodRatioTest(math.nan, math.nan, math.nan)
    x = eigenvalues.detach().double().cpu().numpy().ravel()
    y = np.log(x[x >= fit.x_min] / fit.x_min)
    law = math.log(fit.alpha - 1) - (fit.alpha - 1) * y
    a, b, log_z = _maximum(y, alternative)
    difference = law - (-a * y - b * _statistic(y, alternative) - log_z)
    ratio, deviation = float(difference.sum()), float(difference.std())
    if b == 0 or deviation == 0:
        return LikelihoodRatioTest(0.0, 0.0, 1.0)
    normalized = ratio / (math.sqrt(y.size) * deviation)
    nested = alternative == "truncated_power_law"
    p_value = math.erfc(math.sqrt(abs(ratio))) if nested else math.erfc(abs(normalized) / math.sqrt(2))
    return LikelihoodRatioTest(ratio, normalized, p_value)


def _statistic(y: Array, alternative: Alternative) -> Array:
    return y * y if alternative == "lognormal" else np.exp(y)


def _maximum(y: Array, alternative: Alternative) -> tuple[float, float, float]:
    """(a, b, log Z) of the likeliest member with b ≥ 0, by damped Newton steps from the power law."""
    seen = np.array([y.mean(), _statistic(y, alternative).mean()])
    a, b = 1 / seen[0], 0.0
    # At b = 0 the slope in b is E[s] − mean s, and E[s] = 2/a² or a/(a − 1); not positive: the power law it is.
    expected = 2 / a**2 if alternative == "lognormal" else (a / (a - 1) if a > 1 else math.inf)
    if expected <= seen[1]:
        return a, 0.0, -math.log(a)
    b = 1e-3 / seen[1]
    value, mean, covariance = _moments(a, b, alternative)
    for _ in range(_STEPS):
        step = np.linalg.solve(covariance, mean - seen)  # the slope of the likelihood is E − mean in (−a, −b)
        if abs(step @ (mean - seen)) < 1e-14:
            break
        size, now = 1.0, a * seen[0] + b * seen[1] + value
        while size > 1e-10:
            tried_a, tried_b = a + size * step[0], b + size * step[1]
            if tried_b > 0:
                moments = _moments(tried_a, tried_b, alternative)
                if tried_a * seen[0] + tried_b * seen[1] + moments[0] <= now + 1e-15 * abs(now):
                    break
            size /= 2
        else:
            break
        a, b, (value, mean, covariance) = tried_a, tried_b, moments
    return float(a), float(b), value


def _moments(a: float, b: float, alternative: Alternative) -> tuple[float, Array, Array]:
    """Logarithm of ∫ exp(−a·y − b·s) dy over y ≥ 0, and mean and covariance of (y, s), by quadrature."""
    low, high = _support(a, b, alternative)
    y = low + (high - low) * (_NODES + 1) / 2
    s = _statistic(y, alternative)
    exponent = -a * y - b * s
    top = exponent.max()
    mass = np.exp(exponent - top) * _WEIGHTS * (high - low) / 2
    total = mass.sum()
    share, points = mass / total, np.stack([y, s])
    mean = points @ share
    centred = points - mean[:, None]
    return float(top + math.log(total)), mean, (centred * share) @ centred.T


def _support(a: float, b: float, alternative: Alternative) -> tuple[float, float]:
    """Where a·y + b·s(y), which is convex, lies within ``_DEPTH`` of its least value on y ≥ 0."""

    def cost(y: float) -> float:
        return a * y + b * (y * y if alternative == "lognormal" else math.exp(min(y, 700.0)))

    least = 0.0
    if alternative == "lognormal":
        least = max(0.0, -a / (2 * b))
    elif -a > b:
        least = math.log(-a / b)
    floor = cost(least) + _DEPTH
    ends = []
    for side in (-1.0, 1.0):
        inside, outside = 0.0, 1e-9
        while cost(least + side * outside) < floor and outside < 1e9:
            inside, outside = outside, 2 * outside
        for _ in range(20):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if cost(least + side * middle) < floor else (inside, middle)
        ends.append(least + side * outside)
    return max(ends[0], 0.0), ends[1]

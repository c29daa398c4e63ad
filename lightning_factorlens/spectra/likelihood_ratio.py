"""Likelihood-ratio tests of a power law against a lognormal and a truncated power law.

Vuong (1989), "Likelihood ratio tests for model selection and non-nested hypotheses", Econometrica 57:307.

In y = log(x / x_min) ≥ 0 all three densities are p(y) ∝ exp(−a·y − b·s(y)). The power law has b = 0 and a = α − 1. The
truncated power law x^−α·exp(−λx) has s = e^y and b = λ·x_min. The lognormal has s = y² and b = 1/(2σ²). The likelihood
of an exponential family is concave, so Newton's method cannot end in a local maximum, as a simplex search can.
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
_DEPTH = 45.0  # the integrals end where the density has fallen to e^-45 of its maximum
_NEWTON_STEPS = 100
_BISECTION_STEPS = 20


class LikelihoodRatioTest(NamedTuple):
    """Result of one test.

    Attributes:
        ratio: Log-likelihood of the power law minus that of the alternative; positive where the power law fits better.
        normalized: Vuong's statistic: ``ratio`` divided by √n times the standard deviation of the pointwise
            differences.
        p_value: Probability of a ratio at least as far from 0 if both laws were equally good; above 0.1 the sign of the
            ratio is not significant. For the truncated power law, which contains the power law, it is that of the
            nested test (Wilks), whose null hypothesis is that no truncation is needed.
    """

    ratio: float
    normalized: float
    p_value: float


class _Moments(NamedTuple):
    """Logarithm of Z = ∫ exp(−a·y − b·s) dy over y ≥ 0, and mean and covariance of (y, s)."""

    log_z: float
    mean: Array
    covariance: Array


def compare_power_law(eigenvalues: Tensor, fit: PowerLawFit, alternative: Alternative) -> LikelihoodRatioTest:
    """Fits the alternative to the tail x ≥ x_min by maximum likelihood and tests it against the power law.

    Args:
        eigenvalues: The values that ``fit`` was fitted to, any shape.
        fit: Their power law, which gives x_min and α.
        alternative: ``"lognormal"`` or ``"truncated_power_law"``. The exponent of the truncated power law is not
            bounded; the package ``powerlaw`` bounds it below at 1.

    Returns:
        The test. The ratio is 0 and the p-value 1 where the best alternative is the power law itself (b = 0). All
        values are NaN for a fit without α.

    Raises:
        ValueError: If ``alternative`` is unknown.

    Example:
        >>> import torch
        >>> from lightning_factorlens.spectra import fit_power_law
        >>> eigenvalues = torch.randn(300, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).exp()
        >>> fit = fit_power_law(eigenvalues, min_tail=300)
        >>> compare_power_law(eigenvalues, fit, "lognormal").ratio < 0  # the values are lognormal
        True
    """
    if alternative not in ("lognormal", "truncated_power_law"):
        raise ValueError(f'alternative must be "lognormal" or "truncated_power_law", found {alternative!r}')
    if not math.isfinite(fit.alpha):
        return LikelihoodRatioTest(math.nan, math.nan, math.nan)
    x = eigenvalues.detach().double().cpu().numpy().ravel()
    y = np.log(x[x >= fit.x_min] / fit.x_min)
    power_law_log_density = math.log(fit.alpha - 1) - (fit.alpha - 1) * y
    a, b, log_z = _maximize_likelihood(y, alternative)
    difference = power_law_log_density - (-a * y - b * _statistic(y, alternative) - log_z)
    ratio = float(difference.sum())
    deviation = float(difference.std())
    if b == 0 or deviation == 0:
        return LikelihoodRatioTest(0.0, 0.0, 1.0)
    normalized = ratio / (math.sqrt(y.size) * deviation)
    if alternative == "truncated_power_law":
        p_value = math.erfc(math.sqrt(abs(ratio)))
    else:
        p_value = math.erfc(abs(normalized) / math.sqrt(2))
    return LikelihoodRatioTest(ratio, normalized, p_value)


def _statistic(y: Array, alternative: Alternative) -> Array:
    if alternative == "lognormal":
        return y * y
    return np.exp(y)


def _maximize_likelihood(y: Array, alternative: Alternative) -> tuple[float, float, float]:
    """Returns (a, b, log Z) of the maximum with b ≥ 0, found by damped Newton steps from the power law."""
    observed = np.array([y.mean(), _statistic(y, alternative).mean()])
    a = 1 / observed[0]
    # The slope of the likelihood in b at b = 0 is E[s] − mean s. If it is not positive, the maximum is the power law.
    if _power_law_expectation(a, alternative) <= observed[1]:
        return a, 0.0, -math.log(a)
    b = 1e-3 / observed[1]
    moments = _moments(a, b, alternative)
    for _ in range(_NEWTON_STEPS):
        slope = moments.mean - observed  # of the likelihood in (−a, −b)
        step = np.linalg.solve(moments.covariance, slope)
        if abs(step @ slope) < 1e-14:
            break
        size = 1.0
        loss = a * observed[0] + b * observed[1] + moments.log_z
        accepted = False
        while not accepted and size > 1e-10:
            new_a = a + size * step[0]
            new_b = b + size * step[1]
            if new_b > 0:
                new_moments = _moments(new_a, new_b, alternative)
                new_loss = new_a * observed[0] + new_b * observed[1] + new_moments.log_z
                accepted = bool(new_loss <= loss + 1e-15 * abs(loss))
            size /= 2
        if not accepted:
            break
        a = new_a
        b = new_b
        moments = new_moments
    return float(a), float(b), moments.log_z


def _power_law_expectation(a: float, alternative: Alternative) -> float:
    """E[s] under the power law, b = 0."""
    if alternative == "lognormal":
        return 2 / a**2
    if a > 1:
        return a / (a - 1)
    return math.inf


def _moments(a: float, b: float, alternative: Alternative) -> _Moments:
    """Computes the moments by Gauss–Legendre quadrature."""
    low, high = _support(a, b, alternative)
    y = low + (high - low) * (_NODES + 1) / 2
    s = _statistic(y, alternative)
    exponent = -a * y - b * s
    top = exponent.max()
    mass = np.exp(exponent - top) * _WEIGHTS * (high - low) / 2
    total = mass.sum()
    probability = mass / total
    points = np.stack([y, s])
    mean = points @ probability
    centered = points - mean[:, None]
    return _Moments(float(top + math.log(total)), mean, (centered * probability) @ centered.T)


def _support(a: float, b: float, alternative: Alternative) -> tuple[float, float]:
    """The interval of y ≥ 0 where the convex a·y + b·s(y) is less than ``_DEPTH`` above its minimum."""
    if alternative == "lognormal":
        minimum = max(0.0, -a / (2 * b))
    elif -a > b:
        minimum = math.log(-a / b)
    else:
        minimum = 0.0
    limit = _cost(minimum, a, b, alternative) + _DEPTH
    left = _crossing(minimum, -1.0, limit, a, b, alternative)
    right = _crossing(minimum, 1.0, limit, a, b, alternative)
    return max(left, 0.0), right


def _crossing(minimum: float, side: float, limit: float, a: float, b: float, alternative: Alternative) -> float:
    """Where a·y + b·s(y) reaches ``limit`` on one side of its minimum (±1), by doubling and bisection."""
    inside = 0.0
    outside = 1e-9
    while _cost(minimum + side * outside, a, b, alternative) < limit and outside < 1e9:
        inside = outside
        outside = 2 * outside
    for _ in range(_BISECTION_STEPS):
        middle = (inside + outside) / 2
        if _cost(minimum + side * middle, a, b, alternative) < limit:
            inside = middle
        else:
            outside = middle
    return minimum + side * outside


def _cost(y: float, a: float, b: float, alternative: Alternative) -> float:
    """a·y + b·s(y), without overflow of e^y."""
    if alternative == "lognormal":
        return a * y + b * (y * y)
    return a * y + b * math.exp(min(y, 700.0))

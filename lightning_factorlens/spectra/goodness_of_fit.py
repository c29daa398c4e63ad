"""Goodness of fit of a power law and standard error of α, by the bootstrap.

Clauset, Shalizi and Newman (2009), "Power-law distributions in empirical data", section 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_factorlens.results import PowerLawFit
from lightning_factorlens.spectra.power_law import fit_power_law

Array = NDArray[np.float64]

_CENTRAL_QUANTILES = (0.158655, 0.841345)  # of a normal distribution: one standard deviation on both sides


class GoodnessOfFit(NamedTuple):
    """Result of the bootstrap of one fit.

    Attributes:
        p_value: Fraction of the samples that lie farther from their own power law than the data from theirs. The
            authors reject the power law at 0.1 or less. The standard error of the p-value is at most 1/(2√draws).
        sigma: Standard error of α that includes the choice of x_min: half the width of the central 68.3 % of the
            samples' α, and at least ``fit.sigma``, which takes x_min as given and is therefore too small.
        draws: Samples that had a fit. Without any, both numbers are NaN.
    """

    p_value: float
    sigma: float
    draws: int


def goodness_of_fit(
    eigenvalues: Tensor,
    fit: PowerLawFit,
    *,
    draws: int = 1000,
    seed: int = 0,
    refit: Callable[[Tensor], PowerLawFit] = fit_power_law,
) -> GoodnessOfFit:
    """Fits samples of the same size, with the tail from the fitted law and the values below x_min from the data.

    A value belongs to the tail with probability n_tail / n. The values below x_min are drawn from those of the data
    with replacement. Every sample gets its own x_min.

    Args:
        eigenvalues: The values that ``fit`` was fitted to, any shape.
        fit: Their power law.
        draws: Number of samples; 1,000 give the p-value to ± 0.016.
        seed: Seed of the samples. Global random states are not changed.
        refit: The function that made ``fit``, with the same options.

    Returns:
        p-value and standard error; NaN for a fit without α.

    Raises:
        ValueError: If ``draws`` is below 1.

    Example:
        >>> import torch
        >>> u = torch.rand(100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        >>> eigenvalues = (1 - u) ** -0.5  # a power law with α = 3
        >>> goodness_of_fit(eigenvalues, fit_power_law(eigenvalues), draws=50).p_value > 0.1
        True
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, found {draws}: 1000 give the p-value to ± 0.016")
    if not math.isfinite(fit.alpha):
        return GoodnessOfFit(math.nan, math.nan, 0)
    x = eigenvalues.detach().double().cpu().numpy().ravel()
    # The fit used the fit.n largest values: those above its threshold.
    body = np.sort(x)[len(x) - fit.n : len(x) - fit.n_tail]
    random = np.random.default_rng(seed)
    alphas = []
    n_farther = 0
    for _ in range(draws):
        sample = refit(torch.from_numpy(_draw_sample(body, fit, random)))
        if math.isfinite(sample.alpha):
            alphas.append(sample.alpha)
            n_farther += sample.ks_distance >= fit.ks_distance
    if not alphas:
        return GoodnessOfFit(math.nan, math.nan, 0)
    low, high = np.quantile(alphas, _CENTRAL_QUANTILES)
    sigma = max(float(high - low) / 2, fit.sigma)
    return GoodnessOfFit(n_farther / len(alphas), sigma, len(alphas))


def _draw_sample(body: Array, fit: PowerLawFit, random: np.random.Generator) -> Array:
    """Draws fit.n values: the tail by inversion of the fitted distribution function, the rest from ``body``."""
    n_tail = int(random.binomial(fit.n, fit.n_tail / fit.n))
    if not body.size:
        n_tail = fit.n
    u = random.random(n_tail)
    tail = fit.x_min * (1 - u) ** (-1 / (fit.alpha - 1))
    if not body.size:
        return tail
    return np.concatenate([tail, random.choice(body, fit.n - n_tail)])

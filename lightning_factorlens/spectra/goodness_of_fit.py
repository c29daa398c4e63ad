"""Is it a power law at all, and how sure is its α: the bootstrap of Clauset, Shalizi and Newman (2009), section 4."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_factorlens.results import PowerLawFit
from lightning_factorlens.spectra.power_law import fit_power_law


class Goodness(NamedTuple):
    """What the bootstrap says of a fit.

    Attributes:
        p_value: Share of the draws that lie farther from their own power law than the data from theirs; the authors
            rule a power law out at 0.1 or less. Its standard error is at most 1/(2√draws).
        sigma: Standard error of α with the choice of x_min counted in: half the width of the central 68.3 % of
            the draws' α, and never below the formula's, which takes x_min as given and is therefore too small.
        draws: Draws that had a fit; both numbers are NaN without any.
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
) -> Goodness:
    """Draws as many values as there were, the tail from the fitted law and the rest as found, and fits each anew.

    A value belongs to the tail with probability n_tail / n; below x_min the values found are drawn with
    replacement. Every draw chooses its own x_min.

    Args:
        eigenvalues: What ``fit`` was fitted to, any shape.
        fit: Its power law.
        draws: Draws; 1,000 give the p-value to ± 0.016.
        seed: The same seed gives the same answer; no global random state is touched.
        refit: The fit to apply to a draw: the one that made ``fit``, with the same options.

    Returns:
        p-value and standard error; NaN for a fit without α.

    Raises:
        ValueError: If ``draws`` is below 1.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, found {draws}: 1000 give the p-value to ± 0.016")
    if not math.isfinite(fit.alpha):
        return Goodness(math.nan, math.nan, 0)
    x = eigenvalues.detach().double().cpu().numpy().ravel()
    # The fit counts what its threshold left: the n largest.
    body = np.sort(x)[len(x) - fit.n : len(x) - fit.n_tail]
    random = np.random.default_rng(seed)
    alphas, farther = [], 0
    for _ in range(draws):
        in_tail = int(random.binomial(fit.n, fit.n_tail / fit.n))
        u = random.random(in_tail if body.size else fit.n)
        tail = fit.x_min * (1 - u) ** (-1 / (fit.alpha - 1))
        drawn = np.concatenate([tail, random.choice(body, fit.n - in_tail)]) if body.size else tail
        again = refit(torch.from_numpy(drawn))
        if math.isfinite(again.alpha):
            alphas.append(again.alpha)
            farther += again.ks_distance >= fit.ks_distance
    if not alphas:
        return Goodness(math.nan, math.nan, 0)
    low, high = np.quantile(alphas, [0.158655, 0.841345])
    return Goodness(farther / len(alphas), max(float(high - low) / 2, fit.sigma), len(alphas))

"""Continuous power laws: Clauset, Shalizi and Newman (2009), "Power-law distributions in empirical data"."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

from lightning_factorlens.results import PowerLawFit
from lightning_factorlens.spectra.alpha_correction import correct_alpha
from lightning_factorlens.spectra.ks_distance import KSMinimum, PlausibleTail, largest_plausible_tail, smallest_ks
from lightning_factorlens.spectra.tails import WEAK_BELOW, Tails, find_tails, no_fit

#: Beyond this α, the values of a tail are equal to within 0.5 %: ties, not a power law.
MAX_ALPHA = 201.0


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
    tails = find_tails(eigenvalues, threshold, relative, min_tail, min_eigenvalues, ties == "each", small_sample)
    if isinstance(tails, PowerLawFit):
        return tails
    minimum = smallest_ks(tails.log_x, tails.below, tails.slope, tails.candidates, tails.n)
    n_tail = tails.size(minimum.tail)
    plausible = largest_plausible_tail(tails.log_x, tails.below, tails.slope, tails.candidates, tails.n, n_tail)
    return fit_of_tail(tails, minimum, plausible)


def fit_of_tail(tails: Tails, minimum: KSMinimum, plausible: PlausibleTail) -> PowerLawFit:
    """The power law of the tail with the smallest KS distance.

    Args:
        tails: All tails.
        minimum: The tail with the smallest distance.
        plausible: The largest plausible tail.

    Returns:
        The fit; without an α where the values of the tail are nearly equal.

    Example:
        >>> import torch
        >>> tails = find_tails(2.0 ** torch.arange(10.0))
        >>> fit_of_tail(tails, KSMinimum(0, 0.1, 0), PlausibleTail(10, True)).n_tail
        10
    """
    best = minimum.tail
    n = tails.n
    alpha = 1.0 + float(tails.slope[best])
    n_tail = tails.size(best)
    if alpha > MAX_ALPHA:
        return no_fit(n, _too_steep(alpha, n_tail))
    reason = ""
    if n < WEAK_BELOW:
        reason = f"weak: {n} eigenvalues, α on fewer than {WEAK_BELOW} is noise"
    corrected = correct_alpha(n_tail / float(tails.log_ratios[best]), n_tail, plausible.size)
    return PowerLawFit(
        alpha=alpha,
        sigma=(alpha - 1) / math.sqrt(n_tail),
        x_min=float(tails.x[best]),
        ks_distance=minimum.distance,
        n_tail=n_tail,
        n=n,
        reason=reason,
        alpha_corrected=corrected.alpha,
        alpha_low=corrected.low,
        alpha_high=corrected.high,
    )


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

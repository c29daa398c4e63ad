"""Continuous power law of Clauset, Shalizi and Newman (2009, "Power-law distributions in empirical data")."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightning_factorlens.results import PowerLawFit

Array = NDArray[np.float64]

WEAK_BELOW = 20  # eigenvalues; α on fewer is noise
_FLAT = 1e-12  # mean log(x / x_min) of a tail whose entries differ by rounding alone
_STRIDE = 16  # of the sieve in _smallest_ks
_BLOCK = 1 << 16  # entries of one block of distances: half a MiB, stays in cache


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
    """Fits p(x) ∝ x^(−α), x ≥ x_min, with the x_min that gives the smallest Kolmogorov–Smirnov distance.

    For every candidate x_min, α = 1 + n / Σ log(x / x_min) over the n values of its tail (eq. 3.1 of Clauset
    et al.). The distance compares the fitted CDF with the share of values *below* each value, as the authors'
    own code, ``powerlaw`` 1.x and weightwatcher do.

    Args:
        eigenvalues: Any shape, any order, any device.
        threshold: Values at or below it are left out. What is left out never enters another tail, so it only
            bars candidates; the default keeps all that float64 Gram eigenvalues can resolve.
        relative: Whether ``threshold`` is a share of the largest value, so that scaling the weights does not
            change α, or absolute.
        min_tail: Smallest tail a candidate may leave.
        min_eigenvalues: With fewer values than this (and never fewer than 2) there is no α.
        ties: ``"distinct"``: equal values are one candidate and one step of the CDF (``powerlaw``);
            ``"each"``: each stands for itself (weightwatcher). The same when no two values are equal.
        small_sample: Below 20 values, use n − 1 for n in α and tails of at least 8 (weightwatcher 0.7.7).

    Returns:
        The fit; ``n`` counts the values above the threshold. α is NaN, with the reason in words, when there
        is nothing to fit; below 20 values there is an α, and a reason that calls it weak.

    Raises:
        ValueError: If ``ties`` is neither of its two words.
    """
    if ties not in ("distinct", "each"):
        raise ValueError(f'ties must be "distinct" or "each", found {ties!r}')
    x = np.sort(eigenvalues.detach().double().cpu().numpy().ravel())
    if not np.isfinite(x).all():
        return _no_fit(x.size, "the eigenvalues are not all finite")
    x = x[x > max(threshold * x[-1] if relative else threshold, 0.0)] if x.size else x
    n = x.size
    if n < max(min_eigenvalues, 2):
        wanted = max(min_eigenvalues, 2)
        return _no_fit(n, f"{n} eigenvalues above the threshold, at least {wanted} are needed")
    small = small_sample and n < WEAK_BELOW
    min_tail = max(min_tail, min(8, n)) if small else min_tail

    # Σ log(x / x_i) over a tail, from the gaps between neighbours: every term positive, nothing cancels.
    log_x = np.log(x)
    remaining = np.arange(n, 0, -1.0)
    excess = np.append(np.cumsum((np.diff(log_x) * remaining[1:])[::-1])[::-1], 0.0)
    start = np.arange(n) if ties == "each" else np.flatnonzero(np.append(True, x[1:] > x[:-1]))
    candidates = np.flatnonzero((remaining[start] >= min_tail) & (excess[start] > _FLAT * remaining[start]))
    if not candidates.size:
        return _no_fit(n, f"no tail of {min_tail} or more eigenvalues that differ by more than rounding")
    # The floor touches no candidate; it keeps the largest values, whose slope is never read, from dividing by 0.
    slope = (remaining[start] - small) / np.maximum(excess[start], _FLAT * remaining[start])
    best, distance = _smallest_ks(log_x[start], start.astype(float), slope, candidates, n)

    alpha, n_tail = 1.0 + float(slope[best]), n - int(start[best])
    weak = f"weak: {n} eigenvalues, α on fewer than {WEAK_BELOW} is noise" if n < WEAK_BELOW else ""
    return PowerLawFit(alpha, (alpha - 1) / math.sqrt(n_tail), float(x[start[best]]), distance, n_tail, n, weak)


def fit_like_weightwatcher(eigenvalues: Tensor) -> PowerLawFit:
    """:func:`fit_power_law` by the rules of weightwatcher 0.7.7 on the CPU, for comparison with its tables.

    Args:
        eigenvalues: Any shape.

    Returns:
        The fit to the eigenvalues above 1e-5, absolute; α changes when the weights are rescaled.
    """
    return fit_power_law(eigenvalues, threshold=1e-5, relative=False, min_eigenvalues=2, ties="each", small_sample=True)


def _no_fit(n: int, reason: str) -> PowerLawFit:
    nan = math.nan
    return PowerLawFit(alpha=nan, sigma=nan, x_min=nan, ks_distance=nan, n_tail=0, n=n, reason=reason)


def _smallest_ks(log_x: Array, below: Array, slope: Array, candidates: NDArray[np.intp], n: int) -> tuple[int, float]:
    """The candidate with the smallest KS distance, exactly, without computing all of them.

    A distance over some of a tail's points cannot exceed the one over all of them. So every 16th candidate,
    done fully, gives a distance to beat; all candidates on every 16th point give a bound each; and only those
    whose bound does not lose are done fully. About n²/16 exponentials in place of n²/2.

    Args:
        log_x: Shape (m,), ascending.
        below: Shape (m,), values below each.
        slope: Shape (m,), α − 1 of the tail that begins at each.
        candidates: Indices, ascending, at least one.
        n: Values there are.

    Returns:
        The first index of the smallest distance, and that distance.
    """
    points = np.arange(log_x.size)
    if candidates.size > 8 * _STRIDE:
        beaten = _ks(log_x, below, slope, candidates[::_STRIDE], points, n).min()
        bounds = _ks(log_x, below, slope, candidates, points[::_STRIDE], n)
        candidates = candidates[bounds <= beaten]
    distances = _ks(log_x, below, slope, candidates, points, n)
    winner = int(np.argmin(distances))
    return int(candidates[winner]), float(distances[winner])


def _ks(log_x: Array, below: Array, slope: Array, rows: NDArray[np.intp], points: NDArray[np.intp], n: int) -> Array:
    """KS distance of the tail from each i in ``rows`` to its power law, over the ``points`` in it.

    max_j |1 − (x_j / x_i)^(1 − α_i) − (share of tail i below x_j)|.

    Returns:
        Shape (rows,); 0 for a row with no point in its tail.
    """
    distances = np.zeros(rows.size)
    done = 0
    while done < rows.size:
        # Tails shrink from row to row: a block spans its first row's tail and is as tall as it may be.
        j = points[np.searchsorted(points, rows[done]) :]
        i = rows[done : done + max(1, _BLOCK // max(j.size, 1)), None]
        if j.size:
            # Points before the row's own tail are held at x_min, where both CDFs are 0.
            fitted = 1 - np.exp(np.minimum(-slope[i] * (log_x[j] - log_x[i]), 0))
            share = np.maximum((below[j] - below[i]) / (n - below[i]), 0)
            distances[done : done + i.size] = np.abs(fitted - share).max(1)
        done += i.size
    return distances

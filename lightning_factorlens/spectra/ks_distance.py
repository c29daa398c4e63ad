"""Kolmogorov–Smirnov distances between the tails of a sample and the power laws fitted to them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STRIDE = 16  # one in so many candidates and points is in the first stage of smallest_ks
_N_LIKELY = 8  # candidates of the second stage of smallest_ks
_BLOCK_ENTRIES = 1 << 16  # of one block of distances: half a MiB, which stays in cache
_N_TAILS = 24  # tails that largest_plausible_tail tries
#: √n times the distance, which is exceeded by 4 to 7 % of samples of a power law, for n from 20 to 500.
_CRITICAL_DISTANCE = 1.0


class KSMinimum(NamedTuple):
    """The smallest KS distance of all candidates.

    Attributes:
        tail: Index of the candidate; the first one of several with this distance.
        distance: The distance.
        n_rivals: Number of other candidates whose distance may be as small.
    """

    tail: int
    distance: float
    n_rivals: int


def smallest_ks(
    log_x: Array, below: Array, slope: Array, candidates: NDArray[np.intp], n: int, slack: Array | None = None
) -> KSMinimum:
    """Finds the candidate with the smallest KS distance, exactly, without computing all distances.

    The distance over some of a tail's points cannot exceed the distance over all of them. First the distances of every
    16th candidate are computed; the smallest is an upper bound. Then every candidate's distance over every 16th point
    is computed, which is a lower bound, and the upper bound is improved by the candidates with the smallest of these.
    Only candidates whose lower bound does not exceed the upper bound are computed in full. That takes about n²/16
    exponentials in place of n²/2.

    Args:
        log_x: Shape (m,), ascending.
        below: Number of values below each, shape (m,).
        slope: α − 1 of the tail that begins at each, shape (m,).
        candidates: Indices, ascending, at least one.
        n: Number of values.
        slack: Largest error of the distance of the tail that begins at each, shape (m,); by default 0.

    Returns:
        The smallest distance, and how many other candidates may have as small a one if all have these errors.

    Example:
        >>> log_x = np.array([0.0, 1.0, 2.0, 3.0])
        >>> slope = np.array([2 / 3, 1.0, 2.0, 1.0])  # number of values over the sum of log ratios
        >>> index, distance, n_rivals = smallest_ks(log_x, np.arange(4.0), slope, np.arange(3), 4)
        >>> index, round(distance, 3), n_rivals
        (0, 0.237, 0)
    """
    if slack is None:
        slack = np.zeros(log_x.size)
    points = np.arange(log_x.size)
    if candidates.size > 8 * _STRIDE:
        some = candidates[::_STRIDE]
        upper_bound = (ks_distances(log_x, below, slope, some, points, n) + slack[some]).min()
        lower_bounds = ks_distances(log_x, below, slope, candidates, points[::_STRIDE], n) - slack[candidates]
        # The candidates of the smallest lower bounds have nearly the smallest distance.
        likely = np.sort(candidates[np.argpartition(lower_bounds, _N_LIKELY)[:_N_LIKELY]])
        distances = ks_distances(log_x, below, slope, likely, points, n)
        upper_bound = min(upper_bound, (distances + slack[likely]).min())
        candidates = candidates[lower_bounds <= upper_bound]
    distances = ks_distances(log_x, below, slope, candidates, points, n)
    slack = slack[candidates]
    winner = int(np.argmin(distances))
    may_be_smallest = distances - slack <= (distances + slack).min()
    return KSMinimum(int(candidates[winner]), float(distances[winner]), int(may_be_smallest.sum()) - 1)


class PlausibleTail(NamedTuple):
    """The largest tail that a test does not distinguish from a power law.

    Attributes:
        size: Its number of values.
        is_certain: Whether the errors of the distances cannot have changed it.
    """

    size: int
    is_certain: bool


def largest_plausible_tail(
    log_x: Array,
    below: Array,
    slope: Array,
    candidates: NDArray[np.intp],
    n: int,
    n_tail: int,
    slack: Array | None = None,
) -> PlausibleTail:
    """Finds the largest tail that a test at about 5 % does not distinguish from a power law.

    Args:
        log_x: See `smallest_ks`.
        below: See `smallest_ks`.
        slope: See `smallest_ks`.
        candidates: See `smallest_ks`.
        n: Number of values.
        n_tail: Number of values in the tail with the smallest distance.
        slack: See `smallest_ks`.

    Returns:
        A tail of at least ``n_tail`` values. About 24 tails between ``n_tail`` and all values are tried, in equal
        ratios.

    Example:
        >>> log_x = -np.log(1 - np.arange(100) / 100)  # the quantiles of a power law with α = 2
        >>> below = np.arange(100.0)
        >>> largest_plausible_tail(log_x, below, np.ones(100), np.arange(99), 100, n_tail=40).size
        100
    """
    if slack is None:
        slack = np.zeros(log_x.size)
    sizes = n - below[candidates]
    wanted = np.geomspace(sizes[0], n_tail, _N_TAILS)
    # The sizes fall from one candidate to the next.
    tried = np.unique(np.searchsorted(-sizes, -wanted, side="left").clip(0, candidates.size - 1))
    tried = tried[sizes[tried] > n_tail]
    rows = candidates[tried]
    distances = ks_distances(log_x, below, slope, rows, np.arange(log_x.size), n)
    excess = distances - _CRITICAL_DISTANCE / np.sqrt(sizes[tried])
    plausible = np.flatnonzero(excess <= 0)
    examined = slice(None)
    size = n_tail
    if plausible.size:
        examined = slice(int(plausible[0]) + 1)
        size = int(sizes[tried[plausible[0]]])
    return PlausibleTail(size, bool((np.abs(excess[examined]) >= slack[rows[examined]]).all()))


def ks_distances(
    log_x: Array, below: Array, slope: Array, rows: NDArray[np.intp], points: NDArray[np.intp], n: int
) -> Array:
    """KS distance of the tail from each i in ``rows`` to its power law, over the ``points`` in that tail.

    max_j |1 − (x_j / x_i)^(1 − α_i) − (fraction of tail i below x_j)|.

    Args:
        log_x: See `smallest_ks`.
        below: See `smallest_ks`.
        slope: See `smallest_ks`.
        rows: Indices of the tails' smallest values, ascending.
        points: Indices of the values at which the distributions are compared, ascending.
        n: Number of values.

    Returns:
        Shape (rows,); 0 for a row without a point in its tail.
    """
    distances = np.zeros(rows.size)
    done = 0
    while done < rows.size:
        # Tails become shorter from row to row: a block covers its first row's tail, by as many rows as it may hold.
        j = points[np.searchsorted(points, rows[done]) :]
        rows_per_block = max(1, _BLOCK_ENTRIES // max(j.size, 1))
        i = rows[done : done + rows_per_block, None]
        if j.size:
            # Points below the row's own tail are clamped to x_min, where both distribution functions are 0.
            fitted = 1 - np.exp(np.minimum(-slope[i] * (log_x[j] - log_x[i]), 0))
            observed = np.maximum((below[j] - below[i]) / (n - below[i]), 0)
            distances[done : done + i.size] = np.abs(fitted - observed).max(1)
        done += i.size
    return distances

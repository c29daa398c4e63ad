"""Correlation traps as weightwatcher 0.7.7 defines them: spikes that stay when a weight's entries are shuffled.

Shuffling keeps the entries and destroys what they say together; an eigenvalue that still stands out of the
Marchenko–Pastur bulk comes from single entries of unusual size (Martin and Mahoney's "correlation traps").
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_factorlens.spectra.spectral_summary import gram_eigenvalues

Array = NDArray[np.float64]

_BANDWIDTH = 0.1  # of the triangular kernel
_EMPTY = 0.01  # densities below it are no part of the fit
_FEW = 100  # with fewer eigenvalues weightwatcher pools five shuffles
_GOLDEN = (math.sqrt(5) - 1) / 2


class Traps(NamedTuple):
    """Attributes named as weightwatcher's columns.

    Attributes:
        num_traps: Eigenvalues of the shuffled matrices beyond the bulk and its allowance.
        rand_sigma_mp: Noise level fitted to them, in units where their mean is 1.
        rand_bulk_max: Edge of the fitted bulk, in the weight's units.
        max_rand_eval: Their largest.
    """

    num_traps: int
    rand_sigma_mp: float
    rand_bulk_max: float
    max_rand_eval: float


@torch.no_grad()
def correlation_traps(matrices: Tensor, *, seed: int = 0) -> Traps:
    """Shuffles the entries of every matrix and counts the eigenvalues outside the bulk fitted to all of them.

    Args:
        matrices: Shape (b, rows, columns), e.g. the channel slices of a layer (what weightwatcher takes) or its W1.
        seed: Of the shuffles; no global random state is touched.

    Returns:
        The traps; with fewer than 100 eigenvalues of five shuffles together, as weightwatcher does.

    Raises:
        ValueError: If ``matrices`` is not three-dimensional, is empty or holds NaN, infinity or only zeros.
    """
    if matrices.ndim != 3 or not matrices.numel():
        raise ValueError(f"matrices must have shape (b, rows, columns), none empty, found {tuple(matrices.shape)}")
    if not matrices.isfinite().all() or not matrices.any():
        raise ValueError("matrices must be finite and not all zero: there is nothing to shuffle")
    b, rows, columns = matrices.shape
    generator = torch.Generator().manual_seed(seed)
    flat = matrices.detach().double().cpu().flatten(1)
    shuffled = [
        torch.stack([row[torch.randperm(row.numel(), generator=generator)] for row in flat]).view(b, rows, columns)
        for _ in range(5 if b * min(rows, columns) < _FEW else 1)
    ]
    values = gram_eigenvalues(torch.cat(shuffled)).flatten().sort().values.numpy()
    M, N = sorted((rows, columns))
    return _outside(values, M, N)


def _outside(values: Array, M: int, N: int) -> Traps:
    """Counts what lies beyond edge + √(N^-½ M^½ · edge^⅔ · M^-⅔), weightwatcher's Tracy–Widom allowance."""
    scale = values.size / values.sum()
    scaled = values * scale
    sigma = fit_mp_sigma(scaled, N / M)
    edge = (sigma * (1 + math.sqrt(M / N))) ** 2
    allowance = math.sqrt(math.sqrt(M / N) * edge ** (2 / 3) * M ** (-2 / 3))
    return Traps(int((scaled > edge + allowance).sum()), sigma, edge / scale, float(values[-1]))


def fit_mp_sigma(values: Array, Q: float) -> float:
    """The σ whose Marchenko–Pastur density (quarter circle of the singular values when Q = 1) is closest in squares.

    Args:
        values: Eigenvalues with mean 1, ascending.
        Q: Longer side over shorter side of the matrices.

    Returns:
        The best of weightwatcher's grid of 195 values, refined between its neighbours.
    """
    points = np.sqrt(values) if Q == 1 else values
    grid = np.linspace(0, points[-1] + 0.5, 1000)
    density = np.array([np.maximum(1 - np.abs(points - x) / _BANDWIDTH, 0).sum() for x in grid])
    density /= _BANDWIDTH * points.size
    kept = density > _EMPTY
    grid, density = grid[kept], density[kept]
    peak = grid[np.argmax(density)]

    def misfit(sigma: float) -> float:
        """Squared distance between the law of this σ and the histogram."""
        if Q == 1:
            inside = np.maximum(4 - grid**2, 0)
            return float(((np.sqrt(inside) / (math.pi * sigma**2) - density) ** 2).sum())
        low, high = (sigma * (1 - Q**-0.5)) ** 2, (sigma * (1 + Q**-0.5)) ** 2
        if high < peak or high > grid[-1] or low > peak:
            return 1e6 * grid.size
        inside = np.maximum((high - grid) * (grid - low), 0)
        law = np.sqrt(inside) * Q / (2 * math.pi * sigma**2 * np.maximum(grid, 1e-12))
        return float(((law - density) ** 2).sum())

    unit = math.sqrt(values[-1]) / (1 + Q**-0.5)
    candidates = unit * np.arange(0.05, 2.0, 0.01)
    best = candidates[np.argmin([misfit(s) for s in candidates])]
    low, high = best - 0.01 * unit, best + 0.01 * unit
    for _ in range(40):
        a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, b) if misfit(a) <= misfit(b) else (a, high)
    return float((low + high) / 2)

"""Correlation traps: outlying eigenvalues that remain when the entries of a weight are shuffled.

Shuffling keeps the entries and destroys the correlations between them. An eigenvalue of the shuffled matrix outside the
Marchenko–Pastur bulk is therefore caused by single entries of unusual size, which Martin and Mahoney call a correlation
trap. Definition and constants are those of weightwatcher 0.7.7.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_factorlens.spectra.spectral_summary import squared_singular_values

Array = NDArray[np.float64]

_BANDWIDTH = 0.1  # half the width of the triangular kernel
_MIN_DENSITY = 0.01  # grid points of lower density do not enter the fit
_MIN_POOLED = 100  # with fewer eigenvalues, weightwatcher pools those of five shuffles
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
_GOLDEN_STEPS = 40


class CorrelationTraps(NamedTuple):
    """Correlation traps of one layer; the attributes have the names of weightwatcher's columns.

    Attributes:
        num_traps: Eigenvalues of the shuffled matrices that exceed the bulk edge by more than the allowance.
        rand_sigma_mp: Noise level fitted to these eigenvalues, in units in which their mean is 1.
        rand_bulk_max: Edge of the fitted bulk, in the units of the weight's eigenvalues.
        max_rand_eval: Largest of these eigenvalues.
    """

    num_traps: int
    rand_sigma_mp: float
    rand_bulk_max: float
    max_rand_eval: float


@torch.no_grad()
def correlation_traps(matrices: Tensor, *, seed: int = 0) -> CorrelationTraps:
    """Shuffles the entries of every matrix and counts the eigenvalues outside the bulk fitted to all of them.

    Args:
        matrices: Shape (b, rows, columns), e.g. the channel slices of a layer, which weightwatcher uses, or its W1.
        seed: Seed of the shuffles. Global random states are not changed.

    Returns:
        The traps. Below 100 eigenvalues they are those of five shuffles together, as in weightwatcher.

    Raises:
        ValueError: If ``matrices`` is not three-dimensional, is empty, or holds NaN, infinity or only zeros.

    Example:
        >>> import torch
        >>> noise = torch.randn(1, 120, 240, generator=torch.Generator().manual_seed(0))
        >>> correlation_traps(noise).num_traps
        0
        >>> noise[0, 0, 0] = 40
        >>> correlation_traps(noise).num_traps
        1
    """
    if matrices.ndim != 3 or not matrices.numel():
        raise ValueError(f"matrices must have shape (b, rows, columns), none empty, found {tuple(matrices.shape)}")
    if not matrices.isfinite().all() or not matrices.any():
        raise ValueError(
            "matrices must be finite and not all zero, found NaN, infinity or only zeros: leave such a layer out"
        )
    b, rows, columns = matrices.shape
    generator = torch.Generator().manual_seed(seed)
    flat = matrices.detach().double().cpu().flatten(1)
    n_shuffles = 1
    if b * min(rows, columns) < _MIN_POOLED:
        n_shuffles = 5
    shuffled = []
    for _ in range(n_shuffles):
        for row in flat:
            permutation = torch.randperm(row.numel(), generator=generator)
            shuffled.append(row[permutation].view(rows, columns))
    eigenvalues = squared_singular_values(torch.stack(shuffled)).flatten().sort().values.numpy()
    M, N = sorted((rows, columns))
    return _count_traps(eigenvalues, M, N)


def _count_traps(eigenvalues: Array, M: int, N: int) -> CorrelationTraps:
    """Counts eigenvalues above edge + √(N^-½ M^½ · edge^⅔ · M^-⅔), which is weightwatcher's Tracy–Widom allowance."""
    scale = eigenvalues.size / eigenvalues.sum()
    scaled = eigenvalues * scale
    sigma = fit_mp_sigma(scaled, N / M)
    edge = (sigma * (1 + math.sqrt(M / N))) ** 2
    allowance = math.sqrt(math.sqrt(M / N) * edge ** (2 / 3) * M ** (-2 / 3))
    return CorrelationTraps(
        num_traps=int((scaled > edge + allowance).sum()),
        rand_sigma_mp=sigma,
        rand_bulk_max=edge / scale,
        max_rand_eval=float(eigenvalues[-1]),
    )


def fit_mp_sigma(eigenvalues: Array, Q: float) -> float:
    """Fits the noise level σ of the Marchenko–Pastur law to eigenvalues, by least squares between densities.

    For Q = 1 the law is that of the singular values, a quarter circle.

    Args:
        eigenvalues: Eigenvalues with mean 1, ascending.
        Q: Longer side of the matrices divided by the shorter side.

    Returns:
        The best value of weightwatcher's grid of 195 values, refined by golden-section search between its neighbours.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(100, 400))
        >>> eigenvalues = np.linalg.eigvalsh(X @ X.T / 400)
        >>> bool(abs(fit_mp_sigma(eigenvalues / eigenvalues.mean(), Q=4.0) - 1) < 0.05)
        True
    """
    points = eigenvalues
    if Q == 1:
        points = np.sqrt(eigenvalues)
    grid, density = _kernel_density(points)
    peak = float(grid[np.argmax(density)])
    unit = math.sqrt(eigenvalues[-1]) / (1 + Q**-0.5)
    candidates = unit * np.arange(0.05, 2.0, 0.01)
    misfits = [_misfit(sigma, Q, grid, density, peak) for sigma in candidates]
    best = candidates[np.argmin(misfits)]
    low = best - 0.01 * unit
    high = best + 0.01 * unit
    for _ in range(_GOLDEN_STEPS):
        left = high - _GOLDEN_RATIO * (high - low)
        right = low + _GOLDEN_RATIO * (high - low)
        if _misfit(left, Q, grid, density, peak) <= _misfit(right, Q, grid, density, peak):
            high = right
        else:
            low = left
    return float((low + high) / 2)


def _kernel_density(points: Array) -> tuple[Array, Array]:
    """Grid and triangular kernel density estimate on it, without the grid points of negligible density."""
    grid = np.linspace(0, points[-1] + 0.5, 1000)
    density = np.empty(grid.size)
    for i, x in enumerate(grid):
        density[i] = np.maximum(1 - np.abs(points - x) / _BANDWIDTH, 0).sum()
    density /= _BANDWIDTH * points.size
    kept = density > _MIN_DENSITY
    return grid[kept], density[kept]


def _misfit(sigma: float, Q: float, grid: Array, density: Array, peak: float) -> float:
    """Squared distance between the law of this σ and the estimated density."""
    if Q == 1:
        inside = np.maximum(4 - grid**2, 0)
        return float(((np.sqrt(inside) / (math.pi * sigma**2) - density) ** 2).sum())
    low = (sigma * (1 - Q**-0.5)) ** 2
    high = (sigma * (1 + Q**-0.5)) ** 2
    if high < peak or high > grid[-1] or low > peak:
        return 1e6 * grid.size
    inside = np.maximum((high - grid) * (grid - low), 0)
    law = np.sqrt(inside) * Q / (2 * math.pi * sigma**2 * np.maximum(grid, 1e-12))
    return float(((law - density) ** 2).sum())

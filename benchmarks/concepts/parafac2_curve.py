"""Processor seconds that PARAFAC2 needs for a fit nearly as good as the best one: this package and tensorly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.part import timed
from lightning_factorlens.factorization import parafac2
from lightning_factorlens.results import Block

#: Numbers of passes after which the fits of a curve end; every point is a whole call from the beginning.
PASSES = (1, 2, 3, 5, 8, 12, 18, 27, 40, 60, 90, 135, 200, 300)
#: A fit is nearly as good as the best one with a relative error of at most this fraction above it.
NEARLY = 1e-3
#: Tolerance of both packages: convergence at a smaller relative change of the squared error in a pass.
TOLERANCE = 1e-6
MAX_PASSES = 300


def fit_tensorly(
    slices: Sequence[np.ndarray], rank: int, compressed: bool, nonnegative: bool, seed: int, passes: int = MAX_PASSES
) -> float:
    """Returns the relative error of one start of tensorly: the SVD for seed 0, a random one otherwise.

    The error is computed from the factors, since tensorly's list of errors does not have those of its line search.
    """
    from tensorly.decomposition import parafac2 as tensorly_parafac2
    from tensorly.preprocessing import svd_compress_tensor_slices

    given = svd_compress_tensor_slices(slices)[0] if compressed else slices
    options = {"nn_modes": [2]} if nonnegative else {}
    init = "svd" if seed == 0 else "random"
    result = tensorly_parafac2(given, rank, init=init, random_state=seed, n_iter_max=passes, tol=TOLERANCE, **options)
    A, B, C = result.factors
    squares = 0.0
    for values, projection, a in zip(given, result.projections, A):
        squares += float(np.square(values - projection @ (B * a) @ C.T).sum())
    return math.sqrt(squares / sum(float(np.square(values).sum()) for values in given))


def fit_ours(blocks: Sequence[Block], rank: int, passes: int = MAX_PASSES, **options: Any) -> float:
    """Returns the relative error of this package."""
    return math.sqrt(parafac2(blocks, rank, max_iter=passes, tol=TOLERANCE, **options).objective)


def curves(
    blocks: Sequence[Block], slices: Sequence[np.ndarray], rank: int, seeds: Sequence[int], best: float
) -> dict[str, list[tuple[float, float]]]:
    """Processor seconds and relative errors of calls with more and more passes, until one is nearly as good as wanted.

    Args:
        blocks: For this package.
        slices: The same values for tensorly.
        rank: Number of components.
        seeds: Starts of tensorly; that which needs the least time is kept.
        best: The smallest relative error of all fits.
    """
    found = {
        "factorlens, one start": _curve(partial(fit_ours, blocks, rank, n_init=1), best),
        "factorlens": _curve(partial(fit_ours, blocks, rank), best),
    }
    for compressed in (True, False):
        starts = []
        for seed in seeds:
            starts.append(_curve(partial(fit_tensorly, slices, rank, compressed, False, seed), best))
        name = "tensorly, compressed" if compressed else "tensorly, plain"
        found[name] = min(starts, key=lambda points: seconds_until(points, best))
    return found


def _curve(fit: Callable[..., float], best: float) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for passes in PASSES:
        points.append(timed(partial(fit, passes=passes)))
        if points[-1][1] <= best * (1 + NEARLY):
            break
    return points


def seconds_until(points: Sequence[tuple[float, float]], best: float) -> float:
    """Processor seconds of the last call of a curve; infinity if it is not nearly as good as ``best``."""
    seconds, error = points[-1]
    return seconds if error <= best * (1 + NEARLY) else math.inf

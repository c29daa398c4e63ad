"""Eigenvalues of W Wᵀ in float32, in less than half of the time of float64, with an estimate of their error.

By Weyl's inequality no eigenvalue differs by more than the spectral norm of what the product and LAPACK change of
W Wᵀ. Both parts are estimated for every matrix, since a bound that holds for all of them would be larger by orders of
magnitude; Higham and Mary (2019), "A new approach to probabilistic rounding error analysis".
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_factorlens.background.fork_gate import fork_gate
from lightning_factorlens.linalg.svd import gram_eigvalsh

#: With fewer rows float64 takes about as little time.
MIN_ROWS = 256
#: No other thread of Python runs during LAPACK's tridiagonal reduction: a tenth of a second with this many rows.
_MAX_REDUCED_ROWS = 1536
#: Bound of the largest eigenvalue, in units of their mean, up to which the reduction is made in float32. Its error is
#: proportional to the largest eigenvalue, and would be large for all others.
_LARGEST_SPREAD = 25.0
#: Range of the mean square of a row's norm within which no product of two entries overflows or loses digits.
_SCALE_RANGE = (1e-20, 1e30)
#: Rows whose products are compared with those in float64, besides the four of the largest norms; a fraction of more
#: rows. The root mean square of the 190 products of 20 rows has a standard error of 5 %.
_SAMPLED_ROWS = 16
_SAMPLED_FRACTION = 64
#: Factor of the estimated norm of the product's errors, which was too small by up to a third for heavy-tailed weights.
_MARGIN = 2.0
#: Error of the tridiagonal reduction in units of the float32 eps of the largest eigenvalue. Up to 3.5 was found for
#: weights of networks, and 6.3 for orthogonal matrices, of which the product's margin covers the rest.
_REDUCTION_ERROR = 6.0
#: A ratio of 2 is that of independent errors.
_COHERENT_ABOVE = 3.5
#: Largest relative difference of the first two moments of the eigenvalues from those of the matrix.
_MOMENT_TOLERANCE = 1e-4

Array = NDArray[np.float32]
Double = NDArray[np.float64]


class ApproximateEigenvalues(NamedTuple):
    """Eigenvalues and how far they may be off.

    Attributes:
        values: Ascending, float64, on the CPU.
        error: Estimated bound of the error of each eigenvalue.
    """

    values: Tensor
    error: float


@torch.no_grad()
def float32_eigenvalues(matrix: Tensor) -> ApproximateEigenvalues | None:
    """Eigenvalues of the smaller Gram matrix of a matrix, by products and a tridiagonal reduction in float32.

    The tridiagonal matrix, whose eigenvalues would otherwise have ten times the error, is decomposed in float64. The
    Gram matrix itself is, with more than 1,536 rows and where the largest eigenvalue is many times their mean.

    Args:
        matrix: Shape (rows, columns), float32 or a dtype that float32 contains, on the CPU.

    Returns:
        The eigenvalues; None where float32 does not suffice: for a zero matrix, where squares leave the range of
        float32, for NaN, and where the decomposition has failed.

    Example:
        >>> matrix = torch.diag(torch.arange(1.0, 4.0))
        >>> values, error = float32_eigenvalues(matrix)
        >>> [round(value, 4) for value in values.tolist()], error < 1e-4
        ([1.0, 4.0, 9.0], True)
    """
    blas, _ = _blas_and_lapack()
    X = matrix.detach().float().numpy()
    # BLAS reads columns. The product is that of the shorter side; only its upper triangle is computed.
    is_tall = X.shape[0] > X.shape[1]
    gram = blas.ssyrk(1.0, X.T, trans=0 if is_tall else 1)
    norms = np.diag(gram).astype(np.float64)
    lowest, highest = _SCALE_RANGE
    if not lowest <= norms.mean() <= highest or not norms.max() <= highest:
        return None
    product_error = _product_error(X.T if is_tall else X, gram, norms)
    squares = 2 * float(blas.sdot(gram.ravel("K"), gram.ravel("K"))) - float(norms @ norms)
    reduction_error = 0.0
    if len(norms) > _MAX_REDUCED_ROWS or _may_have_spikes(float(norms.sum()), squares, len(norms)):
        whole = np.triu(gram).astype(np.float64)
        values = gram_eigvalsh(torch.from_numpy(whole + np.triu(whole, 1).T)[None])[0].numpy()
    else:
        values = _tridiagonal_eigenvalues(gram)
        reduction_error = _REDUCTION_ERROR * float(np.finfo(np.float32).eps) * float(values[-1])
    if not _has_moments(values, float(norms.sum()), squares):
        return None
    return ApproximateEigenvalues(torch.from_numpy(values), product_error + reduction_error)


def _blas_and_lapack() -> tuple[Any, Any]:
    """Modules of scipy, loaded when they are needed, which takes a quarter of a second.

    That is often on the thread beside the training. A process that was forked meanwhile could never import scipy.
    """
    with fork_gate.unit():
        from scipy.linalg import blas, lapack
    return blas, lapack


def _product_error(X: Array, gram: Array, norms: Double) -> float:
    """Estimates the spectral norm of the rounding errors of X Xᵀ from those of some of its entries.

    Errors relative to the norms of two rows are taken to be independent, with one variance on the diagonal and one
    beside it, both estimated from the sample. The norm of such a matrix is that of Wigner's law. Where the sample has a
    larger norm than independent errors would give it, the errors are taken to be those of a matrix of rank one.
    """
    m = len(norms)
    n_spaced = max(_SAMPLED_ROWS, m // _SAMPLED_FRACTION)
    rows = np.union1d(np.arange(0, m, max(1, m // n_spaced)), np.argsort(norms)[-4:])
    rows = rows[norms[rows] > 0]
    n = len(rows)
    # Of rows of norm 1. Only the upper triangle of the product is known.
    sample = X[rows] / np.sqrt(norms[rows])[:, None]
    scale = np.outer(np.sqrt(norms[rows]), np.sqrt(norms[rows]))
    errors = np.triu(gram[rows[:, None], rows] / scale - sample @ sample.T)
    on_diagonal = errors.diagonal()
    squares_beside = max(0.0, float(np.vdot(errors, errors) - on_diagonal @ on_diagonal))
    beside = math.sqrt(squares_beside / max(1, n * (n - 1) // 2))
    trace = float(norms.sum())
    largest = float(norms.max())
    independent = 2 * beside * math.sqrt(largest * trace) + 3 * math.sqrt(on_diagonal @ on_diagonal / n) * largest
    whole = errors + errors.T - 2 * np.diag(on_diagonal)
    sample_norm = float(np.abs(np.linalg.eigvalsh(whole)).max())
    if sample_norm > _COHERENT_ABOVE * beside * math.sqrt(n):
        independent += sample_norm / n * trace
    return _MARGIN * independent


def _tridiagonal_eigenvalues(gram: Array) -> Double:
    """Eigenvalues of a symmetric matrix, ascending, given its upper triangle, which is overwritten."""
    _, lapack = _blas_and_lapack()
    # The default workspace of scipy is too small for LAPACK's blocked algorithm.
    workspace = 32 * len(gram)
    _, diagonal, beside, _, failed = lapack.ssytrd(gram, lower=0, lwork=workspace, overwrite_a=1)
    values, also_failed = lapack.dsterf(diagonal.astype(np.float64), beside.astype(np.float64))
    if failed or also_failed:
        return np.full(len(gram), np.nan)
    found: Double = np.maximum(values, 0.0)
    return found


def _may_have_spikes(trace: float, squares: float, m: int) -> bool:
    """Whether an eigenvalue may be large, by the bound of Wolkowicz and Styan (1980) from their sum and squares."""
    mean = trace / m
    variance = max(0.0, squares / m - mean**2)
    return mean + math.sqrt((m - 1) * variance) > _LARGEST_SPREAD * mean


def _has_moments(values: Double, trace: float, squares: Any) -> bool:
    """Whether sum and sum of squares are those of the matrix; not for NaN."""
    sum_agrees = abs(values.sum() - trace) <= _MOMENT_TOLERANCE * trace
    squares_agree = abs(values @ values - squares) <= _MOMENT_TOLERANCE * squares
    return bool(sum_agrees and squares_agree)

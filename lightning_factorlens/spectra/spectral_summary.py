"""Squared singular values of a batch of matrices, and norms and ranks computed from them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_factorlens.linalg.svd import effective_rank, gram_eigvalsh, sample_gram


@torch.no_grad()
def squared_singular_values(matrices: Tensor) -> Tensor:
    """σ² of each matrix, ascending, as the eigenvalues of its smaller Gram matrix, in float64.

    This takes a fraction of the time of an SVD, and is precise enough for the values that a power law is fitted to.
    The absolute error is below n·eps·λ_max with n = min(rows, columns) and eps = 2.2e-16. Eigenvalues below that are
    noise; one of 1e-10·λ_max, the default threshold of the fit, has five correct digits. Negative values, which are
    rounding errors, are set to 0. For smaller eigenvalues use the squares of ``torch.linalg.svdvals``.

    Args:
        matrices: Shape (b, rows, columns), any real floating-point dtype, half and bfloat16 included, any device.

    Returns:
        Shape (b, min(rows, columns)), float64, on the same device (on the CPU for devices without float64). All NaN
        for a matrix that holds NaN or infinity; the other matrices are not affected.

    Raises:
        ValueError: If ``matrices`` is not three-dimensional.

    Example:
        >>> import torch
        >>> squared_singular_values(torch.tensor([[[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]]]))
        tensor([[4., 9.]], dtype=torch.float64)
    """
    if matrices.ndim != 3:
        raise ValueError(f"matrices must have shape (b, rows, columns), found {tuple(matrices.shape)}")
    X = matrices.cpu() if matrices.device.type == "mps" else matrices
    if X.shape[1] > X.shape[2]:
        X = X.mT
    return gram_eigvalsh(sample_gram(X))


def spectral_summary(eigenvalues: Tensor) -> tuple[float, float, float]:
    """Spectral norm, stable rank and entropy rank.

    Rudelson and Vershynin (2007), "Sampling from large matrices: An approach through geometric functional analysis",
    for the stable rank; Roy and Vetterli (2007), "The effective rank: A measure of effective dimensionality", for the
    entropy rank.

    Args:
        eigenvalues: σ² of a matrix, or of several, pooled, any shape.

    Returns:
        √λ_max; Σλ / λ_max; and exp of the entropy of σ / Σσ. All are NaN for an empty or non-finite spectrum, the ranks
        for a zero matrix.

    Example:
        >>> import torch
        >>> norm, stable_rank, entropy_rank = spectral_summary(torch.tensor([4.0, 4.0]))
        >>> norm, stable_rank, round(entropy_rank, 6)
        (2.0, 2.0, 2.0)
    """
    lam = eigenvalues.detach().cpu().double().numpy().ravel()
    nan = float("nan")
    if not lam.size or not np.isfinite(lam).all():
        return nan, nan, nan
    largest = float(lam.max())
    if largest <= 0:
        return 0.0, nan, nan
    return largest**0.5, float(lam.sum()) / largest, effective_rank(eigenvalues)

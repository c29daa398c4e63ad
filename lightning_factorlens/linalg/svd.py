"""Quantities that follow from the N × N Gram matrix of the samples: SVD errors, effective rank, singular vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: Columns of the subspace iteration in addition to the requested ones, of which the last then converge faster.
_OVERSAMPLING = 8


def gram_eigvalsh(grams: Tensor) -> Tensor:
    """Eigenvalues of a batch of Gram matrices, ascending.

    Args:
        grams: Symmetric, shape (k, N, N).

    Returns:
        Shape (k, N), in the dtype of ``grams``.

    Example:
        >>> import torch
        >>> gram_eigvalsh(torch.tensor([[[2.0, 0.0], [0.0, 1.0]]]))
        tensor([[1., 2.]])
    """
    # In float32 LAPACK may fail, or return NaN without an error, when most rows of a layer are zero. In float64 it
    # does neither, at twice the cost.
    try:
        eigenvalues = torch.linalg.eigvalsh(grams)
        if bool(eigenvalues.isfinite().all()):
            return eigenvalues
    except torch.linalg.LinAlgError:
        pass
    return torch.linalg.eigvalsh(grams.double()).to(grams.dtype)


def truncation_errors(eigenvalues: Tensor, ranks: Sequence[int]) -> list[float]:
    """Squared relative error of the best rank-r approximation, Σ_{k>r} σ_k² / ‖X‖².

    Eckart and Young (1936), "The approximation of one matrix by another of lower rank".

    Args:
        eigenvalues: Eigenvalues of XᵀX up to a common factor, ascending, shape (N,). Errors below the rounding of
            their dtype are noise.
        ranks: Ranks, each at least 0.

    Returns:
        One value per rank, in the order of ``ranks``; 0 for a zero matrix.

    Example:
        >>> import torch
        >>> truncation_errors(torch.tensor([1.0, 3.0]), ranks=(0, 1, 2))
        [1.0, 0.25, 0.0]
    """
    tail_sums = eigenvalues.double().clamp_min(0).cumsum(0).tolist()
    N = len(tail_sums)
    total = tail_sums[-1]
    errors = []
    for r in ranks:
        if r < N and total > 0:
            errors.append(tail_sums[N - 1 - r] / total)
        else:
            errors.append(0.0)
    return errors


def effective_rank(eigenvalues: Tensor) -> float:
    """Exponential of the entropy of the normalized singular values.

    Roy and Vetterli (2007), "The effective rank: A measure of effective dimensionality"; Garrido, Balestriero, Najman
    and LeCun (2023), "RankMe: Assessing the downstream performance of pretrained self-supervised representations by
    their rank".

    Args:
        eigenvalues: Eigenvalues of XᵀX up to a common factor, ascending, shape (N,).

    Returns:
        A number from 1 to N; 0 for a zero matrix.

    Example:
        >>> import torch
        >>> round(effective_rank(torch.tensor([0.0, 1.0, 1.0])), 6)
        2.0
    """
    sigma = eigenvalues.cpu().double().clamp_min(0).sqrt()
    # Eigenvalues below the rounding of the largest one are noise, and their square roots would contribute.
    sigma = sigma[sigma > sigma.max() * (torch.finfo(eigenvalues.dtype).eps * len(sigma)) ** 0.5]
    if sigma.numel() == 0:
        return 0.0
    p = sigma / sigma.sum()
    return float((-(p * p.log()).sum()).exp())


def leading_eigenvectors(gram: Tensor, k: int, iterations: int = 6) -> Tensor:
    """The k leading eigenvectors of a positive semi-definite matrix, by block subspace iteration.

    Args:
        gram: Shape (N, N).
        k: Number of eigenvectors, at most N.
        iterations: Subspace iterations. When k + 8 is at least a third of N, a full eigendecomposition replaces them.

    Returns:
        Orthonormal columns, shape (N, k), in descending order of the eigenvalues.

    Example:
        >>> import torch
        >>> leading_eigenvectors(torch.diag(torch.tensor([1.0, 3.0, 2.0])), k=1).abs().T
        tensor([[0., 1., 0.]])
    """
    N = gram.shape[0]
    width = min(N, k + _OVERSAMPLING)
    if 3 * width >= N:
        return torch.linalg.eigh(gram.double())[1].flip(1)[:, :k].to(gram.dtype)
    generator = torch.Generator().manual_seed(0)
    Q = torch.randn(N, width, generator=generator, dtype=torch.float32).to(gram)
    Q[:, 0] = 1
    for _ in range(iterations):
        Q = torch.linalg.qr(gram @ Q)[0]
    S = torch.linalg.eigh(Q.T @ gram @ Q)[1]
    return (Q @ S.flip(1))[:, :k]

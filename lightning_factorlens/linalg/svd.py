"""What the N × N Gram matrix of the samples gives for nothing: SVD errors, effective rank, right singular vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def gram_eigvalsh(grams: Tensor) -> Tensor:
    """Eigenvalues of a batch of Gram matrices, ascending.

    Args:
        grams: Symmetric, shape (k, N, N).

    Returns:
        Shape (k, N), of the dtype of ``grams``.
    """
    # In float32 LAPACK may give up on a layer that is nearly dead (few images wake it, most rows are zero), or hand
    # back NaN and say nothing. In float64 it does neither, at twice the price.
    try:
        found = torch.linalg.eigvalsh(grams)
        if bool(found.isfinite().all()):
            return found
    except torch.linalg.LinAlgError:
        pass
    return torch.linalg.eigvalsh(grams.double()).to(grams.dtype)


def truncation_errors(eigenvalues: Tensor, ranks: Sequence[int]) -> list[float]:
    """Σ_{k>r} σ_k² / ‖X‖², the squared relative error of the best rank-r approximation (Eckart and Young).

    Args:
        eigenvalues: Of XᵀX up to a factor, ascending, shape (N,). Errors below their dtype's rounding are noise.
        ranks: Ranks, each ≥ 0.

    Returns:
        One value a rank, in the order of ``ranks``; 0 for a zero matrix.
    """
    tail = eigenvalues.double().clamp_min(0).cumsum(0).tolist()
    N, total = len(tail), tail[-1]
    return [tail[N - 1 - r] / total if r < N and total > 0 else 0.0 for r in ranks]


def effective_rank(eigenvalues: Tensor) -> float:
    """Exp of the entropy of the normalised singular values (Roy and Vetterli 2007; RankMe, Garrido et al. 2023).

    Args:
        eigenvalues: Of XᵀX up to a factor, ascending, shape (N,).

    Returns:
        A number from 1 to N; 0 for a zero matrix.
    """
    sigma = eigenvalues.cpu().double().clamp_min(0).sqrt()
    # Eigenvalues below rounding of the largest are noise, and their square roots would count.
    sigma = sigma[sigma > sigma.max() * (torch.finfo(eigenvalues.dtype).eps * len(sigma)) ** 0.5]
    if sigma.numel() == 0:
        return 0.0
    p = sigma / sigma.sum()
    return float((-(p * p.log()).sum()).exp())


def leading_eigenvectors(gram: Tensor, k: int, iterations: int = 6) -> Tensor:
    """The k leading eigenvectors of a positive semi-definite matrix, by block subspace iteration.

    Args:
        gram: Shape (N, N).
        k: How many; at most N.
        iterations: Of the subspace iteration, which is skipped for a full decomposition when k is a large part of N.

    Returns:
        Orthonormal columns, shape (N, k), leading one first.
    """
    N = gram.shape[0]
    width = min(N, k + 8)
    if 3 * width >= N:
        return torch.linalg.eigh(gram.double())[1].flip(1)[:, :k].to(gram.dtype)
    generator = torch.Generator().manual_seed(0)
    Q = torch.randn(N, width, generator=generator, dtype=torch.float32).to(gram)
    Q[:, 0] = 1
    for _ in range(iterations):
        Q = torch.linalg.qr(gram @ Q)[0]
    S = torch.linalg.eigh(Q.T @ gram @ Q)[1]
    return (Q @ S.flip(1))[:, :k]

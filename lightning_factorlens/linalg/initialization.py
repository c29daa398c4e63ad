"""Initial values of the sample factor F, for all ranks at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Feature rows averaged into the initial value of one component.
ROWS_PER_COMPONENT = 4


def nndsvd(V: Tensor, project: Callable[[Tensor], Tensor]) -> Tensor:
    """Non-negative double singular value decomposition; the first r rows of the result initialize rank r.

    Boutsidis and Gallopoulos (2008), "SVD based initialization: A head start for nonnegative matrix factorization".
    From each pair of singular vectors u and v of X either the positive or the negative parts are kept, whichever
    have the larger product ‖u±‖·‖v±‖.

    Args:
        V: Leading right singular vectors of X, shape (N, rank).
        project: Maps rows of shape (k, N) to their products with X, shape (k, m). Applied to Vᵀ it gives the left
            singular vectors times their singular values.

    Returns:
        Shape (rank, N), non-negative, every row of unit length.

    Example:
        >>> import torch
        >>> X = torch.tensor([[2.0, 0.0, 2.0], [0.0, 1.0, 0.0]])  # m = 2 features, N = 3 samples
        >>> V = torch.linalg.svd(X, full_matrices=False)[2].T
        >>> nndsvd(V, lambda rows: rows @ X.T).abs()
        tensor([[0.7071, 0.0000, 0.7071],
                [0.0000, 1.0000, 0.0000]])
    """
    U = project(V.T.contiguous())
    V_positive = V.clamp_min(0)
    V_negative = (-V).clamp_min(0)
    U_positive = U.clamp_min(0)
    U_negative = (-U).clamp_min(0)
    positive_weight = torch.linalg.vector_norm(V_positive, dim=0) * torch.linalg.vector_norm(U_positive, dim=1)
    negative_weight = torch.linalg.vector_norm(V_negative, dim=0) * torch.linalg.vector_norm(U_negative, dim=1)
    F = torch.where(positive_weight >= negative_weight, V_positive, V_negative).T.contiguous()
    F[0] = V[:, 0].abs()
    return torch.nn.functional.normalize(F, dim=1)


def init_random(rows: Callable[[Tensor], Tensor], norms_sq: Tensor, rank: int, generator: torch.Generator) -> Tensor:
    """Initializes each component with the mean of four feature rows, drawn in proportion to their squared norm.

    Args:
        rows: Maps row indices, shape (q,), to these rows of X, shape (q, N).
        norms_sq: Squared norm of every row of X, shape (m,).
        rank: Number of components.
        generator: Source of the random numbers, on the CPU.

    Returns:
        Shape (rank, N), non-negative, every row of unit length.

    Example:
        >>> import torch
        >>> X = torch.rand(10, 6)
        >>> F = init_random(X.__getitem__, X.square().sum(1), rank=3, generator=torch.Generator().manual_seed(0))
        >>> F.shape
        torch.Size([3, 6])
        >>> bool((F >= 0).all())
        True
    """
    n_draws = rank * ROWS_PER_COMPONENT
    cumulative = norms_sq.double().cpu().cumsum(0)
    if cumulative[-1] > 0:
        # torch.multinomial is limited to 2^24 categories; the search in the cumulative sum is not.
        draws = torch.rand(n_draws, generator=generator, dtype=torch.float64) * cumulative[-1]
        picked = torch.searchsorted(cumulative, draws).clamp_max(len(cumulative) - 1)
    else:
        picked = torch.zeros(n_draws, dtype=torch.long)
    means = rows(picked.to(norms_sq.device)).abs().view(rank, ROWS_PER_COMPONENT, -1).mean(1)
    # The noise separates components that would otherwise be equal, and makes every entry positive.
    noise = torch.rand(means.shape, generator=generator, dtype=torch.float32).to(means)
    noise_scale = 1e-3 * means.mean() + torch.finfo(means.dtype).tiny
    return torch.nn.functional.normalize(means + noise_scale * noise, dim=1)

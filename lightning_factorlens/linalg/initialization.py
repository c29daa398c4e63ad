"""Starts for the sample factor F, all ranks at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def nndsvd(V: Tensor, project: Callable[[Tensor], Tensor]) -> Tensor:
    """Non-negative double SVD (Boutsidis and Gallopoulos 2008), nested: the first r rows start rank r.

    Of each pair of singular vectors the positive or the negative part is kept, whichever carries more.

    Args:
        V: Leading right singular vectors of X, shape (N, rank).
        project: Maps (k, N) to Vᵀ Xᵀ, shape (k, m): the left vectors, unnormalised.

    Returns:
        Shape (rank, N), non-negative, unit rows.
    """
    U = project(V.T.contiguous())
    V_pos, V_neg = V.clamp_min(0), (-V).clamp_min(0)
    up = torch.linalg.vector_norm(V_pos, dim=0) * torch.linalg.vector_norm(U.clamp_min(0), dim=1)
    down = torch.linalg.vector_norm(V_neg, dim=0) * torch.linalg.vector_norm((-U).clamp_min(0), dim=1)
    F = torch.where(up >= down, V_pos, V_neg).T.contiguous()
    F[0] = V[:, 0].abs()
    return torch.nn.functional.normalize(F, dim=1)


def init_random(rows: Callable[[Tensor], Tensor], norms_sq: Tensor, rank: int, generator: torch.Generator) -> Tensor:
    """Each component the mean of four feature rows drawn ∝ their squared norm.

    Args:
        rows: Maps indices (q,) to rows of X, shape (q, N).
        norms_sq: Squared norm of every row, shape (m,).
        rank: Components.
        generator: On the CPU.

    Returns:
        Shape (rank, N), non-negative, unit rows.
    """
    q = 4
    p = norms_sq.double().cpu()
    total = p.cumsum(0)
    if not total[-1] > 0:
        picked = torch.zeros(rank * q, dtype=torch.long)
    else:  # torch.multinomial stops at 2^24 categories; this does not
        draws = torch.rand(rank * q, generator=generator, dtype=torch.float64) * total[-1]
        picked = torch.searchsorted(total, draws).clamp_max(len(p) - 1)
    means = rows(picked.to(norms_sq.device)).abs().view(rank, q, -1).mean(1)
    noise = torch.rand(means.shape, generator=generator, dtype=torch.float32).to(means)
    return torch.nn.functional.normalize(means + (1e-3 * means.mean() + torch.finfo(means.dtype).tiny) * noise, dim=1)

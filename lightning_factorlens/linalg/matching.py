"""Which row of one matrix is which of another: an optimal assignment by their cosines."""

from __future__ import annotations

import torch
from torch import Tensor


def match_rows(A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """Assigns the rows of one matrix to those of another, such that the sum of the cosines is largest.

    Args:
        A: Shape (r, n).
        B: Shape (s, n).

    Returns:
        Index of the partner of each row of A, shape (r,), int64, −1 for none; and their cosine, shape (r,), float64, 0
        for none. Rows without a positive cosine are not partners.

    Example:
        >>> other, cosine = match_rows(torch.eye(3), torch.eye(3)[[2, 0]])
        >>> other.tolist(), cosine.tolist()
        ([1, -1, 0], [1.0, 0.0, 1.0])
    """
    from scipy.optimize import linear_sum_assignment

    cosines = unit_rows(A) @ unit_rows(B).T
    rows, columns = linear_sum_assignment(-cosines.numpy())
    other = torch.full((len(A),), -1, dtype=torch.int64)
    other[torch.from_numpy(rows)] = torch.from_numpy(columns)
    cosine = cosines.gather(1, other.clamp_min(0)[:, None])[:, 0]
    is_matched = (other >= 0) & (cosine > 0)
    return other.where(is_matched, -1), cosine.where(is_matched, 0.0)


def order_like(A: Tensor, B: Tensor) -> Tensor:
    """The rows of B in the order of those rows of A that they match; those without a partner take the free places.

    Args:
        A: Shape (r, n).
        B: Shape (r, n).

    Example:
        >>> order_like(torch.eye(3), torch.tensor([[0.0, 0, 5], [1, 0, 0], [0, 0, 0]])).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 5.0]]
    """
    order, _ = match_rows(A, B)
    is_free = torch.ones(len(B), dtype=torch.bool)
    is_free[order[order >= 0]] = False
    order[order < 0] = is_free.nonzero()[:, 0]
    return B[order.to(B.device)]


def unit_rows(A: Tensor) -> Tensor:
    """The rows with norm 1, in float64 on the CPU; a row of zeros stays as it is.

    Example:
        >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    rows = A.detach().cpu().double()
    rows = rows / rows.abs().amax(1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    return torch.nn.functional.normalize(rows, dim=1)

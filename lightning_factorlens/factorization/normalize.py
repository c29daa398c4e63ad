"""Unit-norm columns as an exact reparametrisation (paper 001, eq. 3.1: ‖P[:, k]‖ = ‖O[:, k]‖ = 1).

The published code renormalises after every update and leaves F as it was, which breaks the fit. Here the norms move
into scales: W_b = Ŵ_b diag(s_b), the product unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.results import Factorization


def normalize_columns(result: Factorization, rank: int) -> tuple[list[Tensor], Tensor]:
    """The factors of one rank with columns of unit norm, and their scales.

    Args:
        result: A factorisation.
        rank: One of its ranks.

    Returns:
        For every block Ŵ_b, shape (features, r), and the scales s, shape (blocks, r): X_b ≈ Ŵ_b diag(s_b) F. A column
        of zeros stays zero and has scale 0.

    Raises:
        ValueError: A rank that was not fitted.
    """
    if rank not in result.ranks:
        raise ValueError(f"rank: found {rank!r}, fitted are {result.ranks}.")
    factors = result.W[result.ranks.index(rank)]
    scales = torch.stack([torch.linalg.vector_norm(w, dim=0) for w in factors])
    return [w / torch.where(s > 0, s, 1) for w, s in zip(factors, scales)], scales


def normalize_rows_(F: Tensor, W: Tensor | None = None) -> None:
    """Scales the rows of F to unit norm in place, and with ``W`` its rows by the same norms: W F stays what it was.

    Args:
        F: Shape (R, N). A zero row stays zero, and so does its component of W.
        W: The stacked factor, shape (R, m).
    """
    norms = torch.linalg.vector_norm(F, dim=1, keepdim=True)
    F.div_(torch.where(norms > 0, norms, 1))
    if W is not None:
        W.mul_(norms)

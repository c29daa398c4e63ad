"""Factors with columns of unit norm, as an exact reparametrisation.

Saini and Papalexakis (2021), "Analyzing representations inside convolutional neural networks", eq. 3.1, require
‖P[:, k]‖ = ‖O[:, k]‖ = 1. Their published code normalises after every update and does not rescale F, which changes the
product. Here the norms become scales: W_b = Ŵ_b diag(s_b), and the product is unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.results import Factorization


def normalize_columns(result: Factorization, rank: int) -> tuple[list[Tensor], Tensor]:
    """Returns the factors of one rank with columns of unit norm, and their scales.

    Args:
        result: A factorization.
        rank: One of its ranks.

    Returns:
        For every block Ŵ_b, shape (features, r); and the scales s, shape (blocks, r), such that X_b ≈ Ŵ_b diag(s_b) F.
        A column of zeros stays zero and has the scale 0.

    Raises:
        ValueError: A rank that was not fitted.

    Example:
        >>> from lightning_factorlens.factorization import factorize
        >>> from lightning_factorlens.results import Block
        >>> result = factorize([Block("relu", "activation", torch.ones(4, 3), (3,))], ranks=[1])
        >>> (factor,), scales = normalize_columns(result, rank=1)
        >>> round(float(factor.norm()), 4), tuple(scales.shape)
        (1.0, (1, 1))
    """
    if rank not in result.ranks:
        raise ValueError(f"rank: found {rank!r}, fitted are {result.ranks}; give one of these ranks.")
    normalized = []
    scales = []
    for factor in result.W[result.ranks.index(rank)]:
        # Dividing by the largest entry first keeps the squares of very small or large values in the float's range.
        columns = factor.double()
        largest = columns.abs().amax(0)
        columns = columns / largest.where(largest > 0, 1.0)
        norms = torch.linalg.vector_norm(columns, dim=0)
        normalized.append((columns / norms.where(norms > 0, 1.0)).to(factor))
        scales.append((norms * largest).to(factor))
    return normalized, torch.stack(scales)


def normalize_rows_(F: Tensor, W: Tensor | None = None) -> None:
    """Scales the rows of F to unit norm in place and, if given, the rows of W inversely, so that W F is unchanged.

    Args:
        F: Shape (R, N). A zero row stays zero, and its component of W becomes zero.
        W: The stacked factor, shape (R, m).

    Example:
        >>> F, W = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 2.0, 3.0]])
        >>> normalize_rows_(F, W)
        >>> W
        tensor([[ 5., 10., 15.]])
    """
    norms = torch.linalg.vector_norm(F, dim=1, keepdim=True)
    F.div_(torch.where(norms > 0, norms, 1))
    if W is not None:
        W.mul_(norms)

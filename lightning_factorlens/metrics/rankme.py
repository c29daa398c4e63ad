"""Effective rank of one matrix of features.

Garrido, Balestriero, Najman and LeCun (2023), "RankMe: assessing the downstream performance of pretrained
self-supervised representations by their rank", eq. 1; Roy and Vetterli (2007), "The effective rank". The lens logs it
for every block that it factorises (`rank_curve.BlockGroups`), computed by the same functions; this function is for
other features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_factorlens.linalg.svd import effective_rank, gram_eigvalsh, sample_gram


@torch.no_grad()
def rankme(features: Tensor) -> float:
    """Exp of the entropy of the normalised singular values.

    Args:
        features: Shape (N, …), one sample in each row; flattened, not centred, as in the paper.

    Returns:
        From 1 to min(N, D), within 1e-4 of the value of a float64 SVD; 0 for zeros; NaN for no features, and for
        features with NaN or infinity.

    Raises:
        ValueError: Complex features.

    Example:
        >>> round(rankme(torch.eye(4)), 4)
        4.0
    """
    x = features.detach().flatten(1).cpu()
    if not x.numel():
        return math.nan
    if x.is_complex():
        raise ValueError(f"features: must be real, found {x.dtype}; pass real and imaginary parts side by side.")
    if x.dtype not in (torch.float32, torch.float64):
        x = x.double()
    if x.shape[0] > x.shape[1]:
        x = x.T.contiguous()
    largest = float(x.abs().max())
    scale = 1.0
    if 0 < largest < math.inf:
        # A power of two, so that squares neither overflow nor underflow and no digit changes.
        scale = 2.0 ** -max(-1000, min(1000, math.frexp(largest)[1]))
    return effective_rank(gram_eigvalsh(sample_gram(x, scale)[None]))

"""Effective rank of one matrix of features.

Garrido, Balestriero, Najman and LeCun (2023), "RankMe: assessing the downstream performance of pretrained
self-supervised representations by their rank", eq. 1; Roy and Vetterli (2007), "The effective rank". The lens logs it
for every block that it factorises (`rank_curve.BlockGroups`); this function is for other features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_factorlens.linalg.svd import effective_rank


def rankme(features: Tensor) -> float:
    """Exp of the entropy of the normalised singular values.

    Args:
        features: Shape (N, …), one sample in each row; flattened, not centred, as in the paper.

    Returns:
        From 1 to min(N, D); 0 for zeros; NaN for features that hold a NaN or an infinite value.

    Example:
        >>> round(rankme(torch.eye(4)), 4)
        4.0
    """
    x = features.flatten(1).double().cpu()
    if not bool(x.isfinite().all()):
        return math.nan  # the eigenvalues of such a matrix are an error
    gram = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    return effective_rank(torch.linalg.eigvalsh(gram))

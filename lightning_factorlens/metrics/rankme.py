"""Effective rank of one tensor of features (RankMe, Garrido et al. 2023; Roy and Vetterli 2007).

The lens gives that of every block it factorises (`rank_curve.Scopes`); this is for features at hand.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.linalg.svd import effective_rank


def rankme(features: Tensor) -> float:
    """Exp of the entropy of the normalised singular values.

    Args:
        features: Shape (N, …), one image a row; flattened, not centred, as in the paper.

    Returns:
        From 1 to min(N, D); 0 for zeros.
    """
    x = features.flatten(1).double().cpu()
    gram = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    return effective_rank(torch.linalg.eigvalsh(gram))

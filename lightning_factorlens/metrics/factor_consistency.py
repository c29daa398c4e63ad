"""Consistency of the factors: do an image and its shifted copy take the same part in every component?

The shifted probe's activations are folded into the fixed O_j of the plain one,
F' = argmin_{F' ≥ 0} Σ_j w_j² ‖X'_j − O_j F'‖², and F' is compared with F. No classifier head is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_factorlens.linalg.nnls import hals_sweeps_


def fold_in(
    samples: Sequence[Tensor], factors: Sequence[Tensor], weights: Sequence[float] | None = None, sweeps: int = 200
) -> Tensor:
    """The non-negative F that explains new activations by given factors.

    Args:
        samples: X_jᵀ of each layer, shape (N, features).
        factors: O_j of each layer, shape (features, r).
        weights: w_j of each layer; 1 unless given.
        sweeps: Of the coordinate descent.

    Returns:
        Shape (r, N).

    Raises:
        ValueError: Not as many factors as layers, or a layer with other features than its factor.
    """
    if len(samples) != len(factors) or any(x.shape[1] != W.shape[0] for x, W in zip(samples, factors)):
        found = [tuple(t.shape) for t in (*samples, *factors)]
        raise ValueError(f"factors: need one of shape (features, r) for each layer's (N, features), found {found}.")
    squares = [1.0] * len(samples) if weights is None else [w * w for w in weights]
    G = torch.stack([s * (W.T @ W) for s, W in zip(squares, factors)]).sum(0)
    B = torch.stack([s * (W.T @ x.T) for s, x, W in zip(squares, samples, factors)]).sum(0)
    start = B.clamp_min(0) / G.diagonal()[:, None].clamp_min(torch.finfo(G.dtype).tiny)
    return hals_sweeps_(start, B, G, sweeps)


def factor_consistency(F: Tensor, transformed: Sequence[Tensor]) -> float:
    """1 − cos between an image's column of F and its transformed copy's, as a mean over images and transforms.

    Args:
        F: Of the plain probe, shape (r, N), folded in like the others.
        transformed: `fold_in` of each transformed probe, the same shape.

    Returns:
        From 0 (the same shares in every component) to 1; an image without any part in F or F' counts as 1, one without
        in both as 0.
    """
    scale = F.norm(dim=1, keepdim=True).clamp_min(torch.finfo(F.dtype).tiny)  # components on one footing
    plain = F / scale
    moved = torch.stack([other / scale for other in transformed])
    cosine = torch.cosine_similarity(plain.expand_as(moved), moved, dim=1, eps=torch.finfo(F.dtype).tiny)
    both_empty = (plain == 0).all(0) & (moved == 0).all(1)
    return float(1 - torch.where(both_empty, 1.0, cosine).double().mean())

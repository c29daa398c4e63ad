"""Consistency of the factors: whether an image and its shifted copy have the same composition of components.

The activations X'_j of the transformed images are represented by the fixed factors W_j of the plain ones,
F' = argmin_{F' ≥ 0} Σ_j w_j² ‖X'_j − W_j F'‖², and F' is compared with F. No classifier head is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_factorlens.linalg.nnls import hals_sweeps_


def fold_in(
    samples: Sequence[Tensor], factors: Sequence[Tensor], weights: Sequence[float] | None = None, sweeps: int = 200
) -> Tensor:
    """The non-negative F that represents new activations by given factors, by coordinate descent.

    Args:
        samples: X_jᵀ of each layer, shape (N, features).
        factors: W_j of each layer, shape (features, r).
        weights: w_j of each layer; 1 for all layers if None.
        sweeps: Number of sweeps of the coordinate descent.

    Returns:
        F, shape (r, N).

    Raises:
        ValueError: The numbers of layers and factors differ, or a layer has another number of features than its factor.
    """
    mismatched = any(x.shape[1] != W.shape[0] for x, W in zip(samples, factors))
    if len(samples) != len(factors) or mismatched:
        found = [tuple(t.shape) for t in (*samples, *factors)]
        raise ValueError(f"factors: need one of shape (features, r) for each layer's (N, features), found {found}.")
    sample_scale = _power_of_two(samples)
    factor_scale = _power_of_two(factors)
    squares = [1.0] * len(samples) if weights is None else [w * w for w in weights]
    grams = []
    projections = []
    for square, x, W in zip(squares, samples, factors):
        scaled = W * factor_scale
        grams.append(square * (scaled.T @ scaled))
        projections.append(square * (scaled.T @ (x * sample_scale).T))
    G = torch.stack(grams).sum(0)
    B = torch.stack(projections).sum(0)
    start = B.clamp_min(0) / G.diagonal()[:, None].clamp_min(torch.finfo(G.dtype).tiny)
    return hals_sweeps_(start, B, G, sweeps) * (factor_scale / sample_scale)


def _power_of_two(tensors: Sequence[Tensor]) -> float:
    """A factor that makes the largest value lie between ½ and 1 and changes no digit, so that squares stay in range."""
    largest = max(float(tensor.abs().max()) if tensor.numel() else 0.0 for tensor in tensors)
    if not 0 < largest < math.inf:
        return 1.0
    return 2.0 ** -math.frexp(largest)[1]


def factor_consistency(F: Tensor, transformed: Sequence[Tensor]) -> float:
    """1 − cos between an image's column of F and its transformed copy's, averaged over images and transforms.

    Args:
        F: Factor of the plain images, shape (r, N), from `fold_in` like the others.
        transformed: `fold_in` of the images under each transform, the same shape.

    Returns:
        From 0 (the same composition) to 1. An image that is zero in exactly one of F and F' counts as 1, an image that
        is zero in both counts as 0.
    """
    tiny = torch.finfo(F.dtype).tiny
    scale = F.norm(dim=1, keepdim=True).clamp_min(tiny)  # without it, components of large scale would dominate
    plain = F / scale
    moved = torch.stack([other / scale for other in transformed])
    cosine = torch.cosine_similarity(plain.expand_as(moved), moved, dim=1, eps=tiny)
    both_zero = (plain == 0).all(0) & (moved == 0).all(1)
    return float(1 - torch.where(both_zero, 1.0, cosine).double().mean())

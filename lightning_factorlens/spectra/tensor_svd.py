"""The SVD of a convolution as three convolutions ("The SVD of Convolutional Weights", eq. 14)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lightning_factorlens.spectra.unfolding import unfold_weight


class TensorSVD(NamedTuple):
    """W ⋆ X = φ(U) ⋆ (φ(S) ⋆ (φ(Vᵀ) ⋆ X)), all three with the layer's groups, in the dtype and device of W.

    Attributes:
        Vt: Right singular vectors as filters, shape (groups·r, c/groups, *k); takes the layer's own stride,
            padding and dilation.
        S: Singular values as a 1 × 1 convolution, diagonal within each group, shape (groups·r, r, 1 …).
        U: Left singular vectors as a 1 × 1 convolution, shape (d, r, 1 …).
        singular_values: Shape (groups, r), descending, float64.
    """

    Vt: Tensor
    S: Tensor
    U: Tensor
    singular_values: Tensor


@torch.no_grad()
def tensor_svd(weight: Tensor, *, groups: int = 1, rank: int | None = None) -> TensorSVD:
    """Thin SVD of W1, folded back into filters; the full one of the paper only adds zero channels.

    Args:
        weight: Of a convolution, shape (d, c/groups, *k), one or more kernel axes.
        groups: Of the convolution; each is decomposed by itself.
        rank: Keep so many singular values a group, at most min(d/groups, c/groups·∏k); all by default. The
            chain is then the best approximation of W1 of that rank.

    Returns:
        The three kernels and the singular values.

    Raises:
        ValueError: If ``rank`` is not between 1 and the number of singular values.
    """
    W = unfold_weight(weight, groups=groups).double()
    most = min(W.shape[1:])
    r = most if rank is None else rank
    if not 1 <= r <= most:
        raise ValueError(f"rank must be from 1 to {most} for a weight of shape {tuple(weight.shape)}, found {rank}")
    U, sigma, Vt = torch.linalg.svd(W, full_matrices=False)
    U, sigma, Vt = U[..., :r], sigma[:, :r], Vt[:, :r]
    ones = (1,) * (weight.ndim - 2)
    return TensorSVD(
        Vt=Vt.reshape(groups * r, *weight.shape[1:]).to(weight),
        S=torch.diag_embed(sigma).reshape(groups * r, r, *ones).to(weight),
        U=U.reshape(weight.shape[0], r, *ones).to(weight),
        singular_values=sigma,
    )

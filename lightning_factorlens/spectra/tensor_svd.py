"""The SVD of a convolution as a chain of three convolutions.

Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights: A CNN interpretability
framework", eq. 14.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lightning_factorlens.linalg.svd import replace_nonfinite
from lightning_factorlens.linalg.unfolding import unfold_weight


class TensorSVD(NamedTuple):
    """W ⋆ X = φ(U) ⋆ (φ(S) ⋆ (φ(Vᵀ) ⋆ X)), three convolutions with the layer's groups, dtype and device.

    Attributes:
        Vt: Right singular vectors as filters, shape (groups·r, c/groups, *k). This convolution has the layer's stride,
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
    """Computes the thin SVD of W1 and folds it back into filters.

    The full SVD of the paper has additional channels, all of which are zero.

    Args:
        weight: Weight of a convolution, shape (d, c/groups, *k), with one or more kernel axes.
        groups: Groups of the convolution; each is decomposed separately.
        rank: Number of singular values to keep per group, at most min(d/groups, c/groups·∏k); all by default. The
            chain is then the best approximation of W1 of that rank.

    Returns:
        The three kernels and the singular values. All NaN for a group whose weight holds NaN or infinity.

    Raises:
        ValueError: If ``rank`` is not between 1 and the number of singular values.

    Example:
        >>> import torch
        >>> weight = torch.randn(8, 3, 5, 5, dtype=torch.float64)
        >>> x = torch.randn(1, 3, 9, 9, dtype=torch.float64)
        >>> svd = tensor_svd(weight)
        >>> conv2d = torch.nn.functional.conv2d
        >>> chain = conv2d(conv2d(conv2d(x, svd.Vt, stride=2), svd.S), svd.U)
        >>> torch.allclose(chain, conv2d(x, weight, stride=2))
        True
    """
    W = unfold_weight(weight, groups=groups).double()
    most = min(W.shape[1:])
    r = most if rank is None else rank
    if not 1 <= r <= most:
        raise ValueError(f"rank must be from 1 to {most} for a weight of shape {tuple(weight.shape)}, found {rank}")
    W, finite = replace_nonfinite(W)
    full_U, full_sigma, full_Vt = torch.linalg.svd(W, full_matrices=False)
    U = full_U[..., :r].where(finite[:, None, None], torch.nan)
    sigma = full_sigma[:, :r].where(finite[:, None], torch.nan)
    Vt = full_Vt[:, :r].where(finite[:, None, None], torch.nan)
    ones = (1,) * (weight.ndim - 2)
    return TensorSVD(
        Vt=Vt.reshape(groups * r, *weight.shape[1:]).to(weight),
        S=torch.diag_embed(sigma).reshape(groups * r, r, *ones).to(weight),
        U=U.reshape(weight.shape[0], r, *ones).to(weight),
        singular_values=sigma,
    )

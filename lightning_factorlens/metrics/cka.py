"""Linear centred kernel alignment: how alike two sets of features of the same images are (Kornblith et al. 2019)."""

from __future__ import annotations

from torch import Tensor


def linear_cka(before: Tensor, features: Tensor) -> float:
    """⟨K, L⟩ / (‖K‖ ‖L‖) with K, L the Gram matrices of the centred features of N images.

    Blind to rotations and to one common scale of the features; of a layer at two looks it says how far the layer moved.

    Args:
        before: Shape (N, …), one image a row; flattened.
        features: Shape (N, …), of the same images, not necessarily as wide.

    Returns:
        From 0 to 1; NaN where one of them is the same for all images.

    Raises:
        ValueError: Not the same number of images.
    """
    if len(before) != len(features):
        raise ValueError(f"features: CKA compares the same images, found {len(before)} and {len(features)} of them.")
    K, L = _centred_gram(before), _centred_gram(features)
    return float((K * L).sum() / (K.norm() * L.norm()))


def _centred_gram(features: Tensor) -> Tensor:
    x = features.flatten(1).double().cpu()
    x = x - x.mean(0)
    return x @ x.T

"""Linear centred kernel alignment: similarity of two sets of features of the same images.

Kornblith, Norouzi, Lee and Hinton (2019), "Similarity of neural network representations revisited".
"""

from __future__ import annotations

from torch import Tensor


def linear_cka(before: Tensor, features: Tensor) -> float:
    """⟨K, L⟩ / (‖K‖ ‖L‖) with K and L the Gram matrices of the centred features of N images.

    Invariant to rotations and to one common scale of the features. Applied to a layer at two epochs, one minus the
    value measures how far its representation has moved.

    Args:
        before: Features of the images, shape (N, …); flattened to one row per image.
        features: Features of the same images, shape (N, …); the width may differ.

    Returns:
        From 0 to 1; NaN where one of the two is the same for all images.

    Raises:
        ValueError: The two hold different numbers of images.
    """
    if len(before) != len(features):
        raise ValueError(f"features: CKA compares the same images, found {len(before)} and {len(features)} of them.")
    K = _centred_gram(before)
    L = _centred_gram(features)
    return float((K * L).sum() / (K.norm() * L.norm()))


def _centred_gram(features: Tensor) -> Tensor:
    x = features.flatten(1).double().cpu()
    x = x - x.mean(0)
    return x @ x.T

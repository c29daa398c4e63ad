"""Linear centred kernel alignment: similarity of two sets of features of the same images.

Kornblith, Norouzi, Lee and Hinton (2019), "Similarity of neural network representations revisited", and its unbiased
estimator of Nguyen, Raghu and Kornblith (2021), "Do wide and deep networks learn the same things?".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Deviations from the mean of at most this fraction of the largest value are rounding: the features are constant.
_ROUNDING = 1e-14


def linear_cka(before: Tensor, features: Tensor) -> float:
    """⟨K, L⟩ / (‖K‖ ‖L‖) with K and L the Gram matrices of the centred features of N images.

    Invariant to rotations and to one common scale of the features. Applied to a layer at two epochs, one minus the
    value measures how far its representation has moved. This is the biased estimator: with more features than images
    it is far above 0 even for independent features (0.67 for 512 features of 256 images). See `unbiased_linear_cka`.

    Args:
        before: Features of the images, shape (N, …); flattened to one row per image.
        features: Features of the same images, shape (N, …); the width may differ.

    Returns:
        From 0 to 1; NaN where one of the two is the same for all images, or holds NaN or infinity.

    Raises:
        ValueError: The two hold different numbers of images.
    """
    _check_same_images(before, features)
    K = _centred_gram(before)
    L = _centred_gram(features)
    return float((K * L).sum() / (K.norm() * L.norm()))


def unbiased_linear_cka(before: Tensor, features: Tensor) -> float:
    """CKA whose three inner products are unbiased estimates: about 0 for independent features of any width.

    Song, Smola, Gretton, Bedo and Borgwardt (2012), "Feature selection via dependence maximization", eq. 5.

    Args:
        before: Features of the images, shape (N, …); flattened to one row per image.
        features: Features of the same images, shape (N, …); the width may differ.

    Returns:
        At most about 1, and below 0 by chance; NaN for fewer than 4 images, where one of the two is the same for all
        images or holds NaN or infinity, and where an estimate of a norm is not positive.

    Raises:
        ValueError: The two hold different numbers of images.
    """
    _check_same_images(before, features)
    if len(before) < 4:
        return math.nan
    K = _centred_gram(before).fill_diagonal_(0)
    L = _centred_gram(features).fill_diagonal_(0)
    norms = _unbiased_product(K, K) * _unbiased_product(L, L)
    if not norms > 0:
        return math.nan
    return _unbiased_product(K, L) / math.sqrt(norms)


def _unbiased_product(K: Tensor, L: Tensor) -> float:
    """N(N − 3) times the unbiased estimate of the Hilbert–Schmidt independence criterion, for zero diagonals."""
    N = len(K)
    product = float((K * L).sum())
    sums = float(K.sum() * L.sum()) / ((N - 1) * (N - 2))
    rows = 2 * float(K.sum(0) @ L.sum(0)) / (N - 2)
    return product + sums - rows


def _check_same_images(before: Tensor, features: Tensor) -> None:
    if len(before) != len(features):
        raise ValueError(f"features: CKA compares the same images, found {len(before)} and {len(features)} of them.")


def _centred_gram(features: Tensor) -> Tensor:
    """Gram matrix of the centred features up to a factor; zero for features that are the same for all images."""
    x = features.flatten(1).double().cpu()
    largest = x.abs().max() if x.numel() else x.new_zeros(())
    if largest > 0:
        x = x / largest  # so that squares neither overflow nor underflow
    x = x - x.mean(0)
    x = torch.where(x.abs() <= _ROUNDING, 0.0, x)
    deviation = x.abs().max() if x.numel() else x.new_zeros(())
    if deviation > 0:
        x = x / deviation
    return x @ x.T

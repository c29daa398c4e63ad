"""The between-class share of the signals' variance, which does not depend on the signs of the singular vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int, check_type
from lightning_factorlens.hierarchy.incidence import class_labels, permute_labels, seeded_generator
from lightning_factorlens.hierarchy.significance import check_finite
from lightning_factorlens.results import ClassShare, Signals

#: Relative difference below which two sums of squares count as equal.
TOLERANCE = 1e-12


def class_share(
    signals: Signals, classes: Tensor | Sequence[int | str], permutations: int = 200, seed: int = 0
) -> ClassShare:
    """The share of the variance of a layer's signals that lies between the classes, with a permutation test.

    Changes of the vectors' signs, and rotations among vectors of equal singular values, leave the share as it is. What
    counts is that of the untrained network with the same images and classes: a share above 0 alone only says that the
    classes differ, as they do in the images.

    Args:
        signals: The signals of a layer.
        classes: The class of each image, see `hierarchy`; images without one are left out.
        permutations: Number of permutations of the labels.
        seed: Seed of the permutations.

    Returns:
        The share of the layer and of each vector, and the test.

    Raises:
        ValueError: An argument is none of the above, or a signal is not finite.

    Example:
        >>> signals = Signals("fc", torch.tensor([[1.0], [1.0], [5.0], [5.0]]), s=torch.ones(1), group=torch.zeros(1))
        >>> found = class_share(signals, [0, 0, 1, 1])
        >>> found.share, round(found.expected, 2)
        (1.0, 0.33)
    """
    check_type("signals", signals, Signals, "pass one of the layers of FactorLens.signals")
    check_int("permutations", permutations, 1)
    values, labels, names = labeled_values(signals, classes)
    n_classes = len(names)
    centered = values - values.mean(0)
    total = centered.square().sum(0)
    between = _between(centered, labels, n_classes)
    expected = (n_classes - 1) / max(len(labels) - 1, 1)
    if not total.sum():
        nothing = torch.full_like(total, math.nan)
        return ClassShare(signals.layer, math.nan, nothing, expected, total.new_zeros(0), math.nan)
    generator = seeded_generator(seed)
    permuted = total.new_zeros(permutations)
    for index in range(permutations):
        shuffled = permute_labels(labels, generator)
        permuted[index] = _between(centered, shuffled, n_classes).sum() / total.sum()
    share = float(between.sum() / total.sum())
    reached = int((permuted >= share * (1 - TOLERANCE)).sum())
    by_vector = between / total  # 0 / 0 is NaN for a vector without variance
    return ClassShare(signals.layer, share, by_vector, expected, permuted, (1 + reached) / (1 + permutations))


def labeled_values(signals: Signals, classes: Tensor | Sequence[int | str]) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """The signals of the images that have a class, their classes, and the names of the classes.

    Args:
        signals: The signals of a layer.
        classes: As for `class_share`.

    Returns:
        Signals, float64, shape (n, r), zero for a vector whose signals do not vary; the class of each image, shape
        (n,); the names.

    Raises:
        ValueError: As for `class_share`.
    """
    check_finite(signals.layer, signals.values)
    labels = class_labels(classes, len(signals.values))
    rows = (labels.labels >= 0).nonzero()[:, 0]
    values = signals.values[rows].double()
    is_constant = (values == values[0]).all(0)  # whose mean would differ from it by rounding, and so seem to vary
    return values.masked_fill(is_constant, 0.0), labels.labels[rows], labels.names


def class_means(signals: Signals, classes: Tensor | Sequence[int | str]) -> tuple[Tensor, tuple[str, ...]]:
    """The mean signals of each class, and the names of the classes.

    Args:
        signals: The signals of a layer.
        classes: As for `class_share`.

    Returns:
        Means, float64, shape (classes, r); the names.

    Raises:
        ValueError: As for `class_share`.
    """
    values, labels, names = labeled_values(signals, classes)
    sums = values.new_zeros(len(names), values.shape[1]).index_add_(0, labels, values)
    return sums / labels.bincount(minlength=len(names))[:, None], names


def _between(centered: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Sum of squares between classes of each vector."""
    sums = centered.new_zeros(n_classes, centered.shape[1]).index_add_(0, labels, centered)
    counts = labels.bincount(minlength=n_classes)
    return (sums.square() / counts[:, None]).sum(0)

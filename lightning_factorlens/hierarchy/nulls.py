"""The sizes of a hierarchy when the labels of the images are permuted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int
from lightning_factorlens.hierarchy.incidence import class_shares, permute_labels, seeded_generator
from lightning_factorlens.hierarchy.order import hierarchy_sizes
from lightning_factorlens.results import HierarchySizes, NullSizes


def permuted_sizes(significant: Tensor, labels: Tensor, p: float, n: int, seed: int) -> NullSizes:
    """Sizes with permuted labels, see `Hierarchy.null`.

    Args:
        significant: Whether each node is significant for each image, bool, shape (N, nodes).
        labels: The class of each image, −1 for none, shape (N,).
        p: The share of a class from which a node belongs to it.
        n: Number of permutations.
        seed: Seed of the permutations.

    Raises:
        ValueError: ``n`` is no positive number.
    """
    check_int("n", n, 1)
    n_classes = int(labels.max()) + 1
    observed, _ = sizes_and_sets(significant, labels, n_classes, p)
    generator = seeded_generator(seed)
    sizes = []
    for _ in range(n):
        shuffled = permute_labels(labels, generator)
        sizes.append(sizes_and_sets(significant, shuffled, n_classes, p)[0])
    permuted = sizes_table(sizes)
    reached = (permuted >= sizes_table([observed])).sum(0)
    nodes, vector_classes, depth = ((1 + count) / (1 + n) for count in reached.tolist())  # a tensor rounds to float32
    return NullSizes(observed, permuted, (nodes, vector_classes, depth))


def sizes_table(sizes: Sequence[HierarchySizes]) -> Tensor:
    """Sizes as numbers, shape (n, 3), float64.

    Args:
        sizes: Those of n hierarchies.
    """
    return torch.tensor([astuple(found) for found in sizes], dtype=torch.float64).view(-1, 3)


def sizes_and_sets(
    significant: Tensor, labels: Tensor, n_classes: int, p: float
) -> tuple[HierarchySizes, frozenset[int]]:
    """The sizes of a hierarchy and its sets of classes, see `hierarchy_sizes`.

    Args:
        significant: Whether each node is significant for each image, bool, shape (N, nodes).
        labels: The class of each image, −1 for none, shape (N,); every class has an image.
        n_classes: Number of classes.
        p: The share of a class from which a node belongs to it.
    """
    return hierarchy_sizes((class_shares(significant, labels, n_classes) >= p).numpy())

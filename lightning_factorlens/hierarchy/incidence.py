"""The class of every image, and the images of each class for which each node is significant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int

#: Cells that are counted at once.
CHUNK = 2**24


@dataclass(frozen=True, eq=False)
class ClassLabels:
    """The class of every image.

    Attributes:
        names: Names of the classes that have images.
        labels: Position of each image's class in ``names``, −1 for none; int64, shape (N,).
    """

    names: tuple[str, ...]
    labels: Tensor

    @property
    def counts(self) -> Tensor:
        """Number of images of each class, int64, shape (classes,)."""
        return self.labels[self.labels >= 0].bincount(minlength=len(self.names))


def class_labels(
    classes: Tensor | Sequence[int | str], n_images: int, names: Sequence[str] | None = None
) -> ClassLabels:
    """Brings the classes of the images into one form.

    Args:
        classes: The class of each image: whole numbers or words; −1 for an image that has none.
        n_images: Number of images.
        names: A name for each number; None for the numbers themselves.

    Returns:
        The classes that have images, sorted, and the class of each image.

    Raises:
        ValueError: There is not one class for each image, no image has one, a class is neither a number nor a word, or
            there is no name for a class.

    Example:
        >>> found = class_labels(["dog", "cat", "dog"], 3)
        >>> found.names, found.labels.tolist(), found.counts.tolist()
        (('cat', 'dog'), [1, 0, 1], [1, 2])
    """
    if isinstance(classes, (str, Mapping)) or not isinstance(classes, Iterable):
        raise ValueError(f"classes: must be a list or tensor with one class for each image, found {classes!r:.200}.")
    given = list(classes.tolist() if isinstance(classes, Tensor) else classes)
    if len(given) != n_images:
        raise ValueError(
            f"classes: must have one class for each of the {n_images} images, found {len(given)}; pass the classes of "
            "the images that the signals belong to."
        )
    for position, found in enumerate(given):
        is_class = isinstance(found, str) or (isinstance(found, Integral) and int(found) >= -1)
        if isinstance(found, bool) or not is_class:
            raise ValueError(
                f"classes: must be whole numbers from 0 or words, and -1 for an image without a class, found "
                f"{found!r:.100}; convert the classes first, as by classes.long() or onehot.argmax(1)."
            )
        given[position] = found if isinstance(found, str) else int(found)  # numpy's numbers as well
    present = {found for found in given if found != -1}
    if not present:
        raise ValueError("classes: no image has a class; pass at least one that is not -1.")
    _check_names(names)
    ordered = sorted(present, key=lambda found: (isinstance(found, str), found))
    positions = {found: position for position, found in enumerate(ordered)}
    labels = torch.tensor([positions.get(found, -1) for found in given])
    return ClassLabels(tuple(_name(found, names) for found in ordered), labels)


def significant_counts(significant: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Number of images of each class for which each node is significant.

    Args:
        significant: Whether each node is significant for each image, bool, shape (N, nodes).
        labels: The class of each image, −1 for none, shape (N,).
        n_classes: Number of classes.

    Returns:
        int64, shape (classes, nodes).

    Example:
        >>> significant = torch.tensor([[True, False], [True, True], [False, True]])
        >>> significant_counts(significant, torch.tensor([0, 0, 1]), 2).tolist()
        [[2, 1], [0, 1]]
    """
    n_images, n_nodes = significant.shape
    images = (labels >= 0).nonzero()[:, 0]
    counts = torch.zeros(n_classes, n_nodes, dtype=torch.int64)
    width = max(CHUNK // max(n_images, 1), 1)
    for start in range(0, n_nodes, width):
        part = significant[images, start : start + width].float()  # counts to 2²⁴ exactly, in vector instructions
        sums = torch.zeros(n_classes, part.shape[1]).index_add_(0, labels[images], part)
        counts[:, start : start + width] = sums.long()
    return counts


def class_shares(significant: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Share of the images of each class for which each node is significant.

    Args:
        significant: As for `significant_counts`.
        labels: The class of each image, −1 for none; every class has an image.
        n_classes: Number of classes.

    Returns:
        float64, shape (classes, nodes).
    """
    sizes = labels[labels >= 0].bincount(minlength=n_classes)
    return significant_counts(significant, labels, n_classes).double() / sizes[:, None]


def seeded_generator(seed: int) -> torch.Generator:
    """A generator of random numbers that is independent of the global one.

    Args:
        seed: A whole number from 0.

    Raises:
        ValueError: Something else.
    """
    check_int("seed", seed, 0)
    return torch.Generator().manual_seed(seed)


def permute_labels(labels: Tensor, generator: torch.Generator) -> Tensor:
    """The labels in a random order; images without a class keep having none.

    Args:
        labels: The class of each image, −1 for none.
        generator: Draws the order.

    Example:
        >>> permute_labels(torch.tensor([0, -1, 0, 0]), torch.Generator()).tolist()
        [0, -1, 0, 0]
    """
    labeled = (labels >= 0).nonzero()[:, 0]
    permuted = labels.clone()
    permuted[labeled] = labels[labeled[torch.randperm(len(labeled), generator=generator)]]
    return permuted


def _check_names(names: Sequence[str] | None) -> None:
    if names is None:
        return
    if isinstance(names, str) or not isinstance(names, Sequence) or len(set(map(str, names))) < len(names):
        raise ValueError(f"names: must be a list of different names, one for each class, found {names!r:.200}.")


def _name(found: int | str, names: Sequence[str] | None) -> str:
    if names is None or isinstance(found, str):
        return str(found)
    if not 0 <= found < len(names):
        raise ValueError(
            f"names: must have a name for every class, found {len(names)} for class {found}; pass one for each output "
            "of the model."
        )
    return str(names[found])

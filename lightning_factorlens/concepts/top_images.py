"""The images that belong most to a concept, and how much every image does."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightning_factorlens._validation import check_int
from lightning_factorlens.results import Concepts


def check_concept(concepts: Concepts, k: int) -> None:
    """Raises ValueError unless k is the number of a concept.

    Args:
        concepts: From `FactorLens.concepts`.
        k: Checked to be a whole number from 0 to rank − 1.
    """
    check_int("k", k, 0)
    if k >= concepts.rank:
        raise ValueError(f"k: there are {concepts.rank} concepts, found k = {k}; give a number from 0 to rank − 1.")


def check_image(argument: str, image: Any, n_samples: int) -> None:
    """Raises ValueError unless a value is the position of an image in the probe.

    Args:
        argument: Name of the argument, for the message.
        image: Checked to be a whole number from 0 to N − 1.
        n_samples: Number of images N.
    """
    check_int(argument, image, 0)
    if image >= n_samples:
        raise ValueError(f"{argument}: the probe has {n_samples} images, found position {image}; count from 0.")


def affinity(concepts: Concepts) -> Tensor:
    """How much every image belongs to each concept, in units of the image that belongs most to it.

    Args:
        concepts: From `FactorLens.concepts`.

    Returns:
        F with each row divided by its largest entry, shape (rank, N), float64, from 0 to 1. A row of zeros stays zero.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> affinity(FactorLens(model).concepts(torch.rand(9, 6), rank=2)).amax(1)
        tensor([1., 1.], dtype=torch.float64)
    """
    F = concepts.F.double()
    largest = F.amax(1, keepdim=True)
    return F / largest.where(largest > 0, 1.0)


def top_images(concepts: Concepts, k: int, count: int = 16) -> Tensor:
    """The images that belong most to a concept.

    Args:
        concepts: From `FactorLens.concepts`.
        k: Number of the concept, from 0 to rank − 1.
        count: Number of images; all where the probe has fewer.

    Returns:
        Their positions in the probe, shape (min(count, N),), the strongest first. Of equal affinities, the image that
        comes first in the probe comes first here.

    Raises:
        ValueError: Another ``k``, or a ``count`` below 1.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> concepts = FactorLens(model).concepts(torch.rand(9, 6), rank=2)
        >>> bool(top_images(concepts, k=1)[0] == concepts.F[1].argmax())
        True
    """
    check_concept(concepts, k)
    check_int("count", count, 1)
    return concepts.F[k].argsort(descending=True, stable=True)[:count]


def top_images_of_all(concepts: Concepts, count: int = 16) -> Tensor:
    """`top_images` of every concept, shape (rank, min(count, N)).

    Args:
        concepts: From `FactorLens.concepts`.
        count: See `top_images`.

    Raises:
        ValueError: A ``count`` below 1.
    """
    check_int("count", count, 1)
    return concepts.F.argsort(dim=1, descending=True, stable=True)[:, :count]

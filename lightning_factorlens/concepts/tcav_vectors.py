"""Concept vectors: directions in a layer from all images, or from random images, to the top images of a concept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens._validation import check_choice
from lightning_factorlens.concepts.tcav_classifier import classifier_weights

#: ``"mean"``: mean of the top images minus that of all images. ``"difference"``: minus that of random images.
#: ``"classifier"``: normal of a linear classifier between top images and random images.
VECTOR_KINDS = ("mean", "difference", "classifier")


@dataclass(frozen=True, eq=False)
class ConceptImages:
    """The images from which the vectors are made.

    Attributes:
        kind: One of `VECTOR_KINDS`.
        top: Positions of the top images, shape (concepts, count).
        random: Positions of random images that are not among them, shape (concepts, count or fewer).
    """

    kind: str
    top: Tensor
    random: Tensor


def choose_images(kind: str, top: Tensor, n_samples: int, seed: int) -> ConceptImages:
    """Draws the random images of every concept, the same ones for all layers.

    Args:
        kind: One of `VECTOR_KINDS`.
        top: Positions of the top images, shape (concepts, count).
        n_samples: Number of images N, above count.
        seed: Seed of the draw.

    Returns:
        The images; as many random images as top images, or all others where there are fewer.

    Raises:
        ValueError: Another kind.

    Example:
        >>> choose_images("difference", torch.tensor([[0, 2]]), 4, seed=0).random.sort().values.tolist()
        [[1, 3]]
    """
    check_choice("vectors", kind, VECTOR_KINDS)
    generator = torch.Generator().manual_seed(seed)
    count = min(top.shape[1], n_samples - top.shape[1])
    rows = []
    for images in top:
        order = torch.randperm(n_samples, generator=generator)
        rows.append(order[~torch.isin(order, images)][:count])
    random = torch.stack(rows) if rows else top.new_zeros(0, count)
    return ConceptImages(kind, top, random)


def vector_weights(activations: Tensor, images: ConceptImages) -> Tensor:
    """The weights with which each concept's vector in one layer is a sum over images.

    Args:
        activations: Shape (N, features).
        images: From `choose_images`.

    Returns:
        Shape (concepts, N), float64; each row has the sum 0. Times the activations they are the vectors: means are in
        the layer's own units; a classifier's normal has the length 1, or 0 where top and random images do not differ.

    Example:
        >>> images = choose_images("mean", torch.tensor([[0], [1]]), 4, seed=0)
        >>> vector_weights(torch.rand(4, 9), images).tolist()
        [[0.75, -0.25, -0.25, -0.25], [-0.25, 0.75, -0.25, -0.25]]
    """
    n_samples = len(activations)
    top = images.top.to(activations.device)
    random = images.random.to(activations.device)
    weights = activations.new_zeros(len(top), n_samples, dtype=torch.float64)
    if images.kind == "mean":
        weights.fill_(-1 / n_samples)
        return weights.scatter_(1, top, 1 / top.shape[1] - 1 / n_samples)
    if images.kind == "difference":
        weights.scatter_(1, top, 1 / top.shape[1])
        return weights.scatter_(1, random, -1 / random.shape[1])
    return weights.scatter_(1, torch.cat([top, random], 1), _classifier(activations, top, random))


def _classifier(activations: Tensor, top: Tensor, random: Tensor) -> Tensor:
    """The weights of the classifiers' normals, shape (concepts, images), for normals of unit length.

    The activations are divided by their root mean square distance from their mean, so that the penalty has the same
    strength in layers of any scale.
    """
    chosen = torch.cat([top, random], 1)
    Gram = torch.stack([_gram(activations[rows].double()) for rows in chosen])
    center = torch.eye(chosen.shape[1], dtype=Gram.dtype, device=Gram.device) - 1 / chosen.shape[1]
    Gram = center @ Gram @ center
    scale = Gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    targets = torch.cat([torch.ones(top.shape[1]), -torch.ones(random.shape[1])])
    beta = classifier_weights(Gram / scale.where(scale > 0, 1.0), targets)
    length = (beta[:, None, :] @ Gram @ beta[:, :, None])[:, 0].clamp_min(0).sqrt()
    return beta / length.where(length > 0, 1.0)


def _gram(rows: Tensor) -> Tensor:
    return rows @ rows.T

"""TCAV on the concepts of a factorization: how the score of every class changes along every concept, in every layer.

Kim et al. (2018), "Interpretability beyond feature attribution: quantitative testing with concept activation vectors
(TCAV)". The concepts' images are a factor's top images. One forward pass of the probe and one backward pass give all
layers, classes and concepts: the gradient of Σ_i (score of the class of image i) with respect to all layers has the
gradient of image i in row i.

For the centred mean of a concept's images as its vector, the mean derivative over the images of class c is the mean of
k_c[i] = (mean gradient of c)·(a_i − ā) over the concept's images, a_i being the activations of image i. Random concepts
are random sets of these numbers, so that the test needs no further vector.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int
from lightning_factorlens.capture import Capture
from lightning_factorlens.concepts.matching import has_same_samples
from lightning_factorlens.concepts.tcav_derivatives import LayerDerivatives, layer_derivatives
from lightning_factorlens.concepts.tcav_gradients import LayerGradients, collect_gradients
from lightning_factorlens.concepts.tcav_null import default_draws, holm, permutation_p_values
from lightning_factorlens.concepts.tcav_vectors import ConceptImages, choose_images
from lightning_factorlens.concepts.top_images import top_images_of_all
from lightning_factorlens.linalg.threads import limit_threads
from lightning_factorlens.results import Concepts, TCAVResult


def tcav(
    captures: Generator[Capture, None, None],
    concepts: Concepts,
    classes: Any,
    vectors: str = "mean",
    count: int = 16,
    draws: int | None = None,
    seed: int = 0,
) -> TCAVResult:
    """See `FactorLens.tcav`.

    Args:
        captures: Captures of the images of the concepts, from `ModelRunner.gradient_captures`.
        concepts: From `FactorLens.concepts`.
        classes: See `FactorLens.tcav`.
        vectors: See `FactorLens.tcav`.
        count: See `FactorLens.tcav`.
        draws: See `FactorLens.tcav`.
        seed: Seed of random images and random sets.

    Returns:
        The result.

    Raises:
        ValueError: See `FactorLens.tcav`.
    """
    n_samples = concepts.F.shape[1]
    check_draws(draws)
    top = top_images_of_all(concepts, check_count(count, n_samples))
    images = choose_images(vectors, top, n_samples, seed)
    layers, image_classes = collect_gradients(captures, classes, n_samples)
    found_classes = image_classes[image_classes >= 0].unique()
    members = (image_classes == found_classes[:, None]).double()
    derivatives = []
    with torch.no_grad(), limit_threads(sum(layer.activations.numel() for layer in layers)):
        for layer in layers:
            derivatives.append(layer_derivatives(layer, concepts, images, members))
        return _result(layers, derivatives, concepts, images, image_classes, draws, seed)


def check_count(count: int, n_samples: int) -> int:
    """Raises ValueError unless there are both top images and others.

    Args:
        count: Number of top images.
        n_samples: Number of images N.

    Example:
        >>> check_count(4, 4)
        Traceback (most recent call last):
        ValueError: count: found 4 top images among 4 images; give a number from 1 to 3, or pass more images.
    """
    check_int("count", count, 1)
    if count >= n_samples:
        raise ValueError(
            f"count: found {count} top images among {n_samples} images; give a number from 1 to {n_samples - 1}, or "
            "pass more images."
        )
    return count


def check_same_inputs(inputs: Tensor, concepts: Concepts) -> None:
    """Raises ValueError unless the samples are those in which the concepts were found.

    Args:
        inputs: The samples, shape (N, …).
        concepts: From `FactorLens.concepts`.
    """
    if not has_same_samples(inputs, concepts.inputs):
        raise ValueError(
            f"probe: found samples of shape {tuple(inputs.shape)} and {inputs.dtype} that are not those of the "
            f"concepts, of shape {tuple(concepts.inputs.shape)} and {concepts.inputs.dtype}; pass the probe with which "
            "`concepts` was called."
        )


def check_draws(draws: int | None) -> None:
    """Raises ValueError for a number of random sets that is not a whole number of at least 1."""
    check_int("draws", draws, 1, or_none="enough for the number of tests")


def _result(
    layers: list[LayerGradients],
    derivatives: list[LayerDerivatives],
    concepts: Concepts,
    images: ConceptImages,
    image_classes: Tensor,
    draws: int | None,
    seed: int,
) -> TCAVResult:
    """The record, with NaN for concepts of which nothing is left."""
    classes = image_classes[image_classes >= 0].unique()
    shape = (len(layers), len(classes), concepts.rank)
    alive = concepts.F.any(1)
    if draws is None:
        draws = default_draws(shape[0] * shape[1] * int(alive.sum()))
    count = images.top.shape[1]
    numbers = torch.cat([found.numbers for found in derivatives] or [torch.zeros(0, concepts.F.shape[1]).double()])
    means = numbers[:, images.top].mean(2)
    p_value = permutation_p_values(numbers, means, count, draws, seed).view(shape).where(alive, math.nan)

    def stacked(name: str) -> Tensor:
        parts = [getattr(found, name) for found in derivatives]
        values = torch.stack(parts) if parts else p_value
        return values.where(alive, math.nan)

    return TCAVResult(
        layers=tuple(layer.layer for layer in layers),
        classes=tuple(classes.tolist()),
        class_counts=(image_classes == classes[:, None]).sum(1),
        image_classes=image_classes,
        concept_classes=named_classes(concepts, image_classes),
        vector_kind=images.kind,
        vectors=tuple(found.vectors.float() for found in derivatives),
        kept_features=tuple(None if layer.kept_features is None else layer.kept_features.cpu() for layer in layers),
        count=count,
        draws=draws,
        sign_count=stacked("sign_count"),
        mean_derivative=stacked("mean_derivative"),
        p_value=p_value,
        p_corrected=holm(p_value),
        closed_form=stacked("closed_form"),
    )


def named_classes(concepts: Concepts, image_classes: Tensor) -> tuple[int | None, ...]:
    """The class with the largest sum of affinities of each concept; the first of equal ones.

    Args:
        concepts: From `FactorLens.concepts`.
        image_classes: The class of every image, shape (N,); −1 for none.

    Returns:
        One class for each concept; None for a concept that lies on no image with a class.
    """
    classes = image_classes[image_classes >= 0].unique()
    names: list[int | None] = []
    members = (image_classes == classes[:, None]).double()
    for sums in concepts.F.double() @ members.T:
        has_class = len(classes) > 0 and bool(sums.any())
        names.append(int(classes[sums.argmax()]) if has_class else None)
    return tuple(names)

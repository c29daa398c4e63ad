"""Derivatives of class scores along concepts in one layer, from its activations and gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.concepts.tcav_gradients import LayerGradients
from lightning_factorlens.concepts.tcav_vectors import ConceptImages, vector_weights
from lightning_factorlens.results import Concepts

#: Features that are processed at once, in float64.
CHUNK = 4096


@dataclass(frozen=True, eq=False)
class LayerDerivatives:
    """What one layer gives; float64, on the CPU.

    Attributes:
        vectors: Concept vectors, shape (concepts, features).
        sign_count: See `TCAVResult`, shape (classes, concepts).
        mean_derivative: See `TCAVResult`, shape (classes, concepts).
        closed_form: See `TCAVResult`, shape (classes, concepts).
        numbers: k_c[i], shape (classes, N).
    """

    vectors: Tensor
    sign_count: Tensor
    mean_derivative: Tensor
    closed_form: Tensor
    numbers: Tensor


def layer_derivatives(
    layer: LayerGradients, concepts: Concepts, images: ConceptImages, members: Tensor
) -> LayerDerivatives:
    """All derivatives in one layer.

    Args:
        layer: Activations and gradients.
        concepts: For the factor of the layer.
        images: Top and random images.
        members: Which images each class has, shape (classes, N), float64.

    Returns:
        The derivatives, in float64.
    """
    weights = vector_weights(layer.activations, images)
    members = members.to(weights.device)
    sizes = members.sum(1, keepdim=True)
    n_features = layer.activations.shape[1]
    vectors = weights.new_empty(len(weights), n_features)
    class_gradients = weights.new_empty(len(members), n_features)
    by_image = weights.new_zeros(weights.shape[1], len(weights))
    numbers = weights.new_zeros(members.shape)
    for start in range(0, n_features, CHUNK):
        columns = slice(start, start + CHUNK)
        activations = layer.activations[:, columns].double()
        gradients = layer.gradients[:, columns].double()
        vectors[:, columns] = weights @ activations
        class_gradients[:, columns] = members @ gradients / sizes
        by_image += gradients @ vectors[:, columns].T
        numbers += class_gradients[:, columns] @ activations.T
    return LayerDerivatives(
        vectors=vectors.cpu(),
        sign_count=(members @ (by_image > 0).double() / sizes).cpu(),
        mean_derivative=(members @ by_image / sizes).cpu(),
        closed_form=_closed_form(layer, concepts, images, class_gradients.cpu()),
        numbers=(numbers - numbers.mean(1, keepdim=True)).cpu(),
    )


def _closed_form(layer: LayerGradients, concepts: Concepts, images: ConceptImages, class_gradients: Tensor) -> Tensor:
    """Mean derivatives along the columns of W, in the units of the mean derivatives, shape (classes, concepts)."""
    W = _factor(layer, concepts)
    if W is None:
        return class_gradients.new_full((len(class_gradients), concepts.rank), math.nan)
    F = concepts.F.double()
    excess = F.gather(1, images.top).mean(1) - F.mean(1)
    return class_gradients @ W * excess


def _factor(layer: LayerGradients, concepts: Concepts) -> Tensor | None:
    """The factor of a layer, shape (features, rank); None where the concepts do not have that of these features."""
    blocks = {block.name: block for block in concepts.layers()}
    parts = [(layer.layer, 1.0)]
    if layer.layer not in blocks:  # two blocks by the sign policy "split"
        parts = [(f"{layer.layer}/pos", 1.0), (f"{layer.layer}/neg", -1.0)]
    factor: Tensor | None = None
    kept = layer.kept_features
    for name, sign in parts:
        block = blocks.get(name)
        if block is None or block.W.shape != (layer.activations.shape[1], concepts.rank):
            return None
        if (kept is None) != (block.kept_features is None):
            return None
        if kept is not None and block.kept_features is not None and not torch.equal(kept.cpu(), block.kept_features):
            return None
        factor = sign * block.W if factor is None else factor + sign * block.W
    return factor

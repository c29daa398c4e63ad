"""How a class, or a cluster of images, uses each group of neurons, traced through the layers.

A group of neurons is what a concept has of a layer, column k of O_j. In the factorization the mean of the layer over
the images of class c is O_j F 1_c / n_c, a sum over groups.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lightning_factorlens.concepts.groups import group_images
from lightning_factorlens.concepts.neighbours import dominant_concepts
from lightning_factorlens.concepts.predictions import PREDICTIONS, predicted_values
from lightning_factorlens.results import Concepts
from lightning_factorlens.results._short_repr import ShortRepr

CLUSTERS = "concepts"


@dataclass(frozen=True, eq=False, repr=False)
class LayerUtilisation(ShortRepr):
    """The response of one layer to each class.

    Attributes:
        layer: Name of the block.
        neurons: O_j F 1_c / n_c, the mean response of each captured neuron, shape (features, classes), float64.
        groups: Sum over neurons of what each concept contributes, shape (rank, classes), float64. The sum over
            concepts is the sum of ``neurons`` over features.
        pattern: ``groups`` divided by that sum, shape (rank, classes): the same pattern through all layers means that
            a class is carried by the same concepts throughout. NaN where the sum is zero.
    """

    layer: str
    neurons: Tensor
    groups: Tensor
    pattern: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Utilisation(ShortRepr):
    """The response of every block to each class.

    Attributes:
        classes: The classes, or the numbers of the clusters; None, for images without one, comes last.
        counts: Number of images n_c of each, shape (classes,).
        affinity: F 1_c / n_c, the mean affinity of the class to each concept, shape (rank, classes), float64.
        layers: One entry for each block, the inputs first.
    """

    classes: tuple[Hashable, ...]
    counts: Tensor
    affinity: Tensor
    layers: tuple[LayerUtilisation, ...]

    def __getitem__(self, layer: str) -> LayerUtilisation:
        for found in self.layers:
            if found.layer == layer:
                return found
        raise KeyError(f"no block {layer!r}; there are {[found.layer for found in self.layers]}")


def utilisation(concepts: Concepts, classes: str | Sequence[Any] | Tensor = PREDICTIONS) -> Utilisation:
    """The mean response of every layer to each class of images, and how the concepts share in it.

    Args:
        concepts: From `FactorLens.concepts`.
        classes: ``"predictions"``, the model's predicted classes; ``"concepts"``, the images that each concept
            dominates, which needs no class scores; or one value for each image.

    Returns:
        The responses, in the units of the blocks.

    Raises:
        ValueError: A model without class scores where predictions are asked for, or another number of values than of
            images.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> concepts = FactorLens(model).concepts(torch.rand(9, 6), rank=2)
        >>> found = utilisation(concepts, [0, 1, 1, 0, 0, 2, 1, 0, 2])
        >>> [(layer.layer, tuple(layer.groups.shape)) for layer in found.layers]
        [('input/0', (2, 3)), ('1', (2, 3))]
    """
    groups = group_images("classes", _values(concepts, classes), concepts.F.shape[1])
    affinity = concepts.F.double() @ groups.indicator / groups.counts
    layers = []
    for block in concepts.blocks:
        shares = block.W.sum(0)[:, None] * affinity
        totals = shares.sum(0)
        pattern = shares / totals.where(totals != 0, math.nan)
        layers.append(LayerUtilisation(block.name, block.W @ affinity, shares, pattern))
    return Utilisation(groups.values, groups.counts, affinity, tuple(layers))


def _values(concepts: Concepts, classes: Any) -> Any:
    if not isinstance(classes, str):
        return classes
    if classes == PREDICTIONS:
        return predicted_values("classes", concepts)
    if classes == CLUSTERS:
        return [None if concept < 0 else concept for concept in dominant_concepts(concepts).tolist()]
    raise ValueError(
        f"classes: found {classes!r}; write 'predictions' or 'concepts', or give one value for each image."
    )

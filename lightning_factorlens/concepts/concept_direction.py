"""The direction of a concept in the channels of a layer."""

from __future__ import annotations

from torch import Tensor

from lightning_factorlens.concepts.channels import channel_sums
from lightning_factorlens.concepts.top_images import check_concept
from lightning_factorlens.results import Concepts


def concept_direction(concepts: Concepts, k: int, layer: str) -> Tensor:
    """The factor of a concept, averaged over the positions of each channel, minus the mean of all concepts' factors.

    What the concepts have in common points the same way for all of them and is left out. A picture of the direction is
    found by ``visualization.Direction(layer, concept_direction(concepts, k, layer))``.

    Args:
        concepts: From `FactorLens.concepts`.
        k: Number of the concept.
        layer: Name of a captured layer.

    Returns:
        Shape (channels,), float32, of unit norm; zeros where the concept does not differ from the others. A channel of
        which no neuron was captured is zero.

    Raises:
        ValueError: There is no such concept.
        KeyError: There is no such layer.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> concepts = FactorLens(model).concepts(torch.rand(9, 1, 5, 5), rank=2)
        >>> round(float(concept_direction(concepts, 1, "1").norm()), 4)
        1.0
    """
    check_concept(concepts, k)
    block = concepts[layer]
    sums, counts = channel_sums(block.W.T, block.shape, block.kept_features)
    means = sums / counts.clamp_min(1)
    direction = means[k] - means.mean(0)
    norm = direction.norm()
    return (direction / norm if norm > 0 else direction).float()

"""What the singular vectors of a model's weights respond to, image by image and class by class.

Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights: A CNN interpretability
framework", sections 4.2 to 6.

- ``layer_signals``: how strongly every image excites the singular vectors of every linear layer; ``exemplary_images``:
  which images excite them most.
- ``decomposition_panels``: the steps of a layer's computation; ``projection_maps``: where an image excites a singular
  vector; ``similarity_overlay``: which positions are like a chosen one.
- ``significance``, ``hierarchy``: which vectors are significant for which classes, and their order by inclusion.
- ``hierarchy_report``, ``class_share``, ``semantic_structure``: what this is worth beside its nulls.

Example:
    >>> import torch
    >>> from lightning_factorlens.hierarchy import layer_signals
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> layer_signals(model, torch.rand(5, 1, 4, 4))["1"].values.shape
    torch.Size([5, 3])
"""

from lightning_factorlens.hierarchy.class_share import class_share
from lightning_factorlens.hierarchy.exemplars import exemplary_images
from lightning_factorlens.hierarchy.hypergraph import hierarchy, image_hierarchy
from lightning_factorlens.hierarchy.layer_vectors import VectorCache
from lightning_factorlens.hierarchy.overlays import similarity_overlay
from lightning_factorlens.hierarchy.panels import decomposition_panels
from lightning_factorlens.hierarchy.projections import projection_maps
from lightning_factorlens.hierarchy.semantic_hierarchy import Hierarchy
from lightning_factorlens.hierarchy.semantic_structure import leading_split, semantic_structure
from lightning_factorlens.hierarchy.signals import layer_signals
from lightning_factorlens.hierarchy.significance import Significance, significance
from lightning_factorlens.hierarchy.stability import seed_agreement
from lightning_factorlens.hierarchy.statements import hierarchy_report

__all__ = [
    "Hierarchy",
    "Significance",
    "VectorCache",
    "class_share",
    "decomposition_panels",
    "exemplary_images",
    "hierarchy",
    "hierarchy_report",
    "image_hierarchy",
    "layer_signals",
    "leading_split",
    "projection_maps",
    "seed_agreement",
    "semantic_structure",
    "significance",
    "similarity_overlay",
]

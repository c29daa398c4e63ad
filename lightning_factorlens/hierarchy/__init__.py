"""What the singular vectors of a model's weights respond to, image by image and class by class.

Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights: A CNN interpretability
framework", sections 4.2 to 6.
"""

from lightning_factorlens.hierarchy.class_share import class_share
from lightning_factorlens.hierarchy.hypergraph import Hierarchy, hierarchy, image_hierarchy
from lightning_factorlens.hierarchy.semantic_structure import leading_split, semantic_structure
from lightning_factorlens.hierarchy.significance import Significance, significance
from lightning_factorlens.hierarchy.stability import seed_agreement
from lightning_factorlens.hierarchy.statements import hierarchy_report

__all__ = [
    "Hierarchy",
    "Significance",
    "class_share",
    "hierarchy",
    "hierarchy_report",
    "image_hierarchy",
    "leading_split",
    "seed_agreement",
    "semantic_structure",
    "significance",
]

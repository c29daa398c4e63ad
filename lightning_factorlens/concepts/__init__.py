"""Analyses of the factors and the probe; labels are only used as names."""

from lightning_factorlens.concepts.clarity import agreement, clarity
from lightning_factorlens.concepts.comparison import ConceptComparison, compare_concepts
from lightning_factorlens.concepts.concept_direction import concept_direction
from lightning_factorlens.concepts.latent_image import colour_image, latent_image
from lightning_factorlens.concepts.layer_panels import energy_shares, layer_panels
from lightning_factorlens.concepts.matching import ConceptMatches, match_concepts
from lightning_factorlens.concepts.names import ColumnNames, ConceptNames, name_concepts
from lightning_factorlens.concepts.neighbours import Neighbours, dominant_concepts, neighbours
from lightning_factorlens.concepts.page import concept_page
from lightning_factorlens.concepts.pixel_mask import masked_image, pixel_mask
from lightning_factorlens.concepts.stability import ConceptStability
from lightning_factorlens.concepts.timeline import concept_changes, follow_concepts
from lightning_factorlens.concepts.top_images import affinity, top_images
from lightning_factorlens.concepts.utilisation import LayerUtilisation, Utilisation, utilisation
from lightning_factorlens.results import LayerPanel

__all__ = [
    "ColumnNames",
    "ConceptComparison",
    "ConceptMatches",
    "ConceptNames",
    "ConceptStability",
    "LayerPanel",
    "LayerUtilisation",
    "Neighbours",
    "Utilisation",
    "affinity",
    "agreement",
    "clarity",
    "colour_image",
    "compare_concepts",
    "concept_changes",
    "concept_direction",
    "concept_page",
    "dominant_concepts",
    "energy_shares",
    "follow_concepts",
    "latent_image",
    "layer_panels",
    "masked_image",
    "match_concepts",
    "name_concepts",
    "neighbours",
    "pixel_mask",
    "top_images",
    "utilisation",
]

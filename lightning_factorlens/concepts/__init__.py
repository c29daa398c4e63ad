"""Analyses of the factors and the probe; labels are only used as names."""

from lightning_factorlens.concepts.latent_image import colour_image, latent_image
from lightning_factorlens.concepts.layer_panels import LayerPanel, energy_shares, layer_panels
from lightning_factorlens.concepts.neighbours import Neighbours, dominant_concepts, neighbours
from lightning_factorlens.concepts.pixel_mask import masked_image, pixel_mask
from lightning_factorlens.concepts.top_images import affinity, top_images

__all__ = [
    "LayerPanel",
    "Neighbours",
    "affinity",
    "colour_image",
    "dominant_concepts",
    "energy_shares",
    "latent_image",
    "layer_panels",
    "masked_image",
    "neighbours",
    "pixel_mask",
    "top_images",
]

"""The pixels of an image that carry a concept: the stronger half of its latent image in each channel."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.concepts.latent_image import latent_image
from lightning_factorlens.concepts.top_images import check_image
from lightning_factorlens.results import Concepts


def pixel_mask(concepts: Concepts, k: int) -> Tensor:
    """The stronger half of the pixels of a concept's latent image.

    Saini and Papalexakis (2021), "Analyzing representations inside convolutional neural networks", keep the pixels
    above the channel's median. Where half of the pixels are zero, as with black borders, so is the median, and fewer
    pixels are above it; so pixels are chosen by rank here.

    Args:
        concepts: From `FactorLens.concepts`.
        k: Number of the concept, from 0 to rank − 1.

    Returns:
        Shape (C, H, W), bool. Exactly ⌊H · W / 2⌋ pixels of each channel are True. Of equal pixels, the one that comes
        first row by row is taken first.

    Raises:
        ValueError: See `latent_image`.

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> int(pixel_mask(FactorLens(model).concepts(torch.rand(9, 1, 5, 5), rank=2), k=0).sum())
        12
    """
    return strongest_half(latent_image(concepts, k))


def strongest_half(images: Tensor) -> Tensor:
    """The stronger half of the pixels of each channel, see `pixel_mask`.

    Args:
        images: Shape (…, H, W).

    Returns:
        Which pixels are kept, shape (…, H, W), bool: ⌊H · W / 2⌋ of each channel.

    Example:
        >>> strongest_half(torch.zeros(1, 2, 3))
        tensor([[[ True,  True,  True],
                 [False, False, False]]])
    """
    pixels = images.flatten(-2)
    order = pixels.argsort(dim=-1, descending=True, stable=True)
    kept = order[..., : pixels.shape[-1] // 2]
    mask = torch.zeros_like(pixels, dtype=torch.bool).scatter_(-1, kept, True)
    return mask.reshape(images.shape)


def masked_image(concepts: Concepts, k: int, image: int, inverse: bool = False) -> Tensor:
    """An image of the probe with the pixels outside of a concept's mask set to the channel's smallest value.

    Args:
        concepts: From `FactorLens.concepts`.
        k: Number of the concept, from 0 to rank − 1.
        image: Position of the image in the probe.
        inverse: Whether the pixels inside of the mask are set instead.

    Returns:
        Shape (C, H, W), as the model takes it. The smallest value is that of the channel in the whole probe, which is
        black also in images that were normalised.

    Raises:
        ValueError: A position outside of the probe; or see `latent_image`.

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> model, images = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU()), torch.rand(9, 1, 5, 5)
        >>> shown = masked_image(FactorLens(model).concepts(images, rank=2), k=0, image=3)
        >>> int((shown == images[3]).sum()) >= 12
        True
    """
    check_image("image", image, len(concepts.inputs))
    mask = pixel_mask(concepts, k)
    pixels = concepts.inputs[image]
    mask = mask.expand(pixels.shape)
    black = concepts.inputs.amin((0, 2, 3))[:, None, None]
    return torch.where(mask != inverse, pixels, black)

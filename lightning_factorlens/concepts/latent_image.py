"""The pixels of a concept.

Saini and Papalexakis (2018), "Characterizing & exploring deep CNN representations using factorization": column k of
P_i, the factor of input channel i, is an image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.concepts.top_images import check_concept
from lightning_factorlens.results import Concepts

#: Ends of the names of the two parts of a channel with the sign policy ``"split"``.
POSITIVE = "/pos"
NEGATIVE = "/neg"


def has_latent_images(concepts: Concepts) -> bool:
    """Whether the inputs are images (N, C, H, W) of which all pixels are known.

    Args:
        concepts: From `FactorLens.concepts`.
    """
    if concepts.inputs.ndim != 4:
        return False
    return all(len(block.shape) in (2, 3) and block.kept_features is None for block in concepts.input_blocks())


def latent_image(concepts: Concepts, k: int) -> Tensor:
    """The latent image of a concept in every input channel.

    Args:
        concepts: From `FactorLens.concepts`.
        k: Number of the concept, from 0 to rank − 1.

    Returns:
        Column k of every P_i, in the units of the inputs after the sign policy, shape (C, H, W), float64.

    Raises:
        ValueError: Another ``k``, or inputs that are no images (N, C, H, W).

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> tuple(latent_image(FactorLens(model).concepts(torch.rand(9, 1, 5, 5), rank=2), k=0).shape)
        (1, 5, 5)
    """
    check_concept(concepts, k)
    if not has_latent_images(concepts):
        raise ValueError(
            f"concepts: the inputs have the shape {tuple(concepts.inputs.shape)} and are no images (N, C, H, W), "
            "so that no concept has a latent image. Its share of every layer is in `layer_panels`."
        )
    channels: list[Tensor] = []
    for block in concepts.input_blocks():
        pixels = block.W[:, k].reshape(-1, *block.shape[-2:])
        if block.name.endswith(NEGATIVE):
            channels[-1] = channels[-1] - pixels
        else:
            channels.append(pixels)
    return torch.cat(channels)


def colour_image(concepts: Concepts, k: int) -> Tensor:
    """The latent image of a concept as an image to look at.

    Args:
        concepts: From `FactorLens.concepts`.
        k: Number of the concept, from 0 to rank − 1.

    Returns:
        Shape (H, W, 3), float64, from 0 to 1: three channels as red, green and blue on one scale, from 0 or the
        smallest value below to the largest; the mean of any other number of channels in grey.

    Raises:
        ValueError: See `latent_image`.

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
        >>> tuple(colour_image(FactorLens(model).concepts(torch.rand(9, 3, 5, 5), rank=2), k=0).shape)
        (5, 5, 3)
    """
    channels = latent_image(concepts, k)
    if len(channels) != 3:
        channels = channels.mean(0, keepdim=True).expand(3, -1, -1)
    lowest = channels.min().clamp_max(0)
    height = channels.max() - lowest
    scaled = (channels - lowest) / height.where(height > 0, 1.0)
    return scaled.permute(1, 2, 0).contiguous()

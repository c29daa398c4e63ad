"""TensorBoard's projector: every probe image as a point, placed by its column of the sample factor F."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from lightning_factorlens.results import Observation
from lightning_factorlens.results.curves import middle_rank

#: Largest side of an image in a sprite sheet, in pixels.
MAX_IMAGE_SIZE = 48
#: Largest side of a sprite sheet that TensorBoard takes, in pixels.
MAX_SHEET_SIZE = 8192


def write_embedding(writer: Any, observation: Observation, tag: str) -> bool:
    """Writes F of the middle rank: one row for each probe image, shown as that image.

    The files are written beside the event file: ``<step>/<tag>/tensors.tsv``, ``metadata.tsv`` (the number of the
    image, its strongest component and the fraction of its loads that this component has) and ``sprite.png``.

    Args:
        writer: A ``SummaryWriter``.
        observation: A whole observation, with its tensors.
        tag: Name of the embedding.

    Returns:
        Whether the observation has factors, which were then written.
    """
    factorization = observation.factorization
    if factorization is None or not factorization.ranks:
        return False
    rank_index = factorization.ranks.index(middle_rank(factorization.ranks))
    loads = factorization.F[rank_index].detach().float().cpu().T
    fractions = loads / loads.sum(dim=1, keepdim=True).clamp_min(torch.finfo(loads.dtype).tiny)
    rows = []
    for image, row in enumerate(fractions):
        rows.append([image, f"component {int(row.argmax())}", f"{float(row.max()):.2f}"])
    writer.add_embedding(
        loads,
        metadata=rows,
        metadata_header=["image", "strongest component", "its fraction"],
        label_img=sprites(observation.inputs, len(loads)),
        global_step=observation.step,
        tag=tag,
    )
    return True


def sprites(images: Tensor | None, n_samples: int) -> Tensor | None:
    """Converts probe images for a sprite sheet, which holds square images with values from 0 to 1.

    Values outside [0, 1], as after a normalisation, are scaled by the range of the whole probe. The shorter side
    is padded with black. Large images are reduced.

    Args:
        images: The probe, shape (N, C, H, W) where it consists of images.
        n_samples: Number of points, which must be N.

    Returns:
        Shape (N, 1 or 3, size, size); None where the probe does not consist of so many images.

    Example:
        >>> tuple(sprites(torch.rand(5, 3, 8, 6), n_samples=5).shape)
        (5, 3, 8, 8)
    """
    if images is None or images.ndim != 4 or len(images) != n_samples:
        return None
    pixels = images.detach().float().cpu()
    if pixels.shape[1] not in (1, 3):
        pixels = pixels.mean(dim=1, keepdim=True)
    low = float(pixels.min())
    high = float(pixels.max())
    if low < 0 or high > 1:
        pixels = (pixels - low) / ((high - low) or 1.0)
    side = max(pixels.shape[2:])
    pixels = pad(pixels, (0, side - pixels.shape[3], 0, side - pixels.shape[2]))
    images_in_row = math.ceil(math.sqrt(n_samples))
    size = min(MAX_IMAGE_SIZE, MAX_SHEET_SIZE // images_in_row)
    if side <= size:
        return pixels
    return interpolate(pixels, size=(size, size), mode="area")

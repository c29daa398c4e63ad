"""TensorBoard's projector: every probe image where its column of the sample factor F puts it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from lightning_factorlens.results import Observation
from lightning_factorlens.results.curves import middle_rank

#: Largest side of a sprite's pictures, and of the whole sprite sheet (TensorBoard takes no larger one), in pixels.
EDGE, SHEET = 48, 8192


def write_embedding(writer: Any, observation: Observation, tag: str) -> bool:
    """F of the middle rank, a row a probe image, with the image as its picture.

    The files lie beside the event file: ``<step>/<tag>/tensors.tsv``, ``metadata.tsv`` (the image's number, its
    strongest component and that component's share), ``sprite.png``.

    Args:
        writer: A ``SummaryWriter``.
        observation: The one to show.
        tag: Name of the embedding.

    Returns:
        Whether there was anything to write.
    """
    f = observation.factorization
    if f is None or not f.ranks:
        return False
    F = f.F[f.ranks.index(middle_rank(f.ranks))].detach().float().cpu().T
    share = F / F.sum(dim=1, keepdim=True).clamp_min(torch.finfo(F.dtype).tiny)
    rows = [[n, f"component {int(row.argmax())}", f"{float(row.max()):.2f}"] for n, row in enumerate(share)]
    writer.add_embedding(
        F,
        metadata=rows,
        metadata_header=["image", "strongest component", "its share"],
        label_img=sprites(observation.inputs, len(F)),
        global_step=observation.step,
        tag=tag,
    )
    return True


def sprites(images: Tensor | None, n: int) -> Tensor | None:
    """Probe images as square pictures, (n, 1 or 3, edge, edge) in [0, 1]; None where there are none that fit.

    Values outside [0, 1], as after a normalisation, are stretched over the range of the whole probe. The projector's
    pictures are square: the shorter side is filled up with black. Large ones are made smaller.
    """
    if images is None or images.ndim != 4 or len(images) != n:
        return None
    pixels = images.detach().float().cpu()
    pixels = pixels if pixels.shape[1] in (1, 3) else pixels.mean(dim=1, keepdim=True)
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        pixels = (pixels - low) / ((high - low) or 1.0)
    side = max(pixels.shape[2:])
    pixels = pad(pixels, (0, side - pixels.shape[3], 0, side - pixels.shape[2]))
    edge = min(EDGE, SHEET // math.ceil(math.sqrt(n)))
    return pixels if side <= edge else interpolate(pixels, size=(edge, edge), mode="area")

"""Erases a random square of every image, as an augmentation."""

from __future__ import annotations

import torch
from torch import Tensor


def erased(images: Tensor, generator: torch.Generator) -> Tensor:
    """Sets a square of half the side in every image to 0, the mean of normalized images.

    The square's center is anywhere in the image, so that a part of the square may lie outside (DeVries and Taylor 2017,
    "Improved regularization of convolutional neural networks with cutout").

    Args:
        images: Shape (N, C, H, W).
        generator: Generator of the draws.
    """
    n, _, h, w = images.shape
    reach = h / 4
    center_row = torch.randint(0, h, (n, 1), generator=generator)
    center_column = torch.randint(0, w, (n, 1), generator=generator)
    rows = torch.arange(h) - center_row
    columns = torch.arange(w) - center_column
    in_rows = (rows >= -reach) & (rows < reach)
    in_columns = (columns >= -reach) & (columns < reach)
    is_inside = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    return images.masked_fill(is_inside, 0.0)

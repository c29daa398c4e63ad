"""Maps of values over the positions of a layer, as tiles, alone or over the image that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from lightning_factorlens.plots._pictures import LOWEST, TALLEST
from lightning_factorlens.plots.latent_images import to_rgb
from lightning_factorlens.plots.tiles import draw_tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Opacity of a map over its image, and the grey of the image's darkest pixels: on black, colours would not show.
OPACITY = 0.7
DARKEST = 0.5


def is_images(inputs: Tensor) -> bool:
    """Whether inputs can be drawn as images, shape (n, C, H, W)."""
    return inputs.ndim == 4 and inputs.numel() > 0 and not inputs.is_complex()


def as_picture(values: Tensor) -> np.ndarray:
    """Values on a grid of any number of axes as a picture, shape (rows, columns).

    Example:
        >>> import torch
        >>> [as_picture(torch.zeros(shape)).shape for shape in ((), (7,), (4, 5), (2, 4, 5))]
        [(1, 1), (1, 7), (4, 5), (8, 5)]
    """
    pixels: np.ndarray = values.detach().cpu().float().numpy()
    return pixels.reshape(-1, pixels.shape[-1] if pixels.ndim else 1)


def tile_height(pixels: np.ndarray) -> float:
    """Height of a picture in widths; longer and flatter ones are drawn compressed."""
    return float(min(max(pixels.shape[0] / pixels.shape[1], LOWEST), TALLEST))


def largest_magnitude(values: Tensor) -> float:
    """End of a colour scale: the largest finite magnitude, or 1 where all are zero."""
    magnitudes = values.detach().float().abs()
    finite = magnitudes[magnitudes.isfinite()]
    return (float(finite.max()) if finite.numel() else 0.0) or 1.0


def draw_map(ax: Axes, values: Tensor, image: Tensor | None, x: float, y: float, bound: float, gid: str) -> None:
    """Draws a map in diverging colours, over its image where it has the two axes of an image.

    Args:
        ax: See `tiles.tile_axes`.
        values: Shape (*grid).
        image: Shape (C, H, W); None where the input is no image.
        x: Left edge, in tiles.
        y: Upper edge, in tiles.
        bound: End of the colour scale.
        gid: Identifier of the map in the figure; that of the image below it has ``/image`` appended.
    """
    pixels = as_picture(values)
    if image is None or values.ndim != 2:
        draw_tile(ax, pixels, x, y, bound, gid, height=tile_height(pixels), signed=True)
        return
    colours = to_rgb(image)
    height = tile_height(colours)
    grey = DARKEST + (1 - DARKEST) * colours.mean(axis=2, keepdims=True).repeat(3, axis=2)
    draw_tile(ax, grey, x, y, 1.0, f"{gid}/image", height=height)
    draw_tile(ax, pixels, x, y, bound, gid, height=height, signed=True, opacity=OPACITY)

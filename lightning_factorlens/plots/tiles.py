"""Axes that hold images side by side: one unit is the width of an image, and y points down."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from lightning_factorlens.plots.style import INK, SIDE_MARGIN, SMALL, WIDTH, figure_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

#: Space between neighbouring tiles, as a fraction of a tile.
SEAM = 0.04
#: Space in inches below the tiles.
BOTTOM = 0.06


def tile_inches(ax: Axes | None, across: float) -> float:
    """Width of a tile in inches.

    Args:
        ax: The axes that will hold the tiles; None for a figure of their own.
        across: Width of all tiles together, in tiles.
    """
    width = WIDTH - 2 * SIDE_MARGIN
    if ax is not None:
        width = ax.bbox.width / figure_of(ax).dpi
    return width / across


def tile_axes(across: float, down: float, top: float, bottom: float = BOTTOM) -> Axes:
    """Axes for tiles in a new figure.

    Args:
        across: Width of all tiles together, in tiles.
        down: Their height, in tiles.
        top: Inches left free above them, for a title.
        bottom: Inches left free below them, for a colour bar.
    """
    height = down * tile_inches(None, across) + top + bottom + 0.04
    figure = new_figure(height)
    left = SIDE_MARGIN / WIDTH
    ax = figure.add_axes((left, bottom / height, 1 - 2 * SIDE_MARGIN / WIDTH, 1 - (top + bottom) / height))
    set_tile_limits(ax, across, down)
    return ax


def set_tile_limits(ax: Axes, across: float, down: float) -> None:
    """Makes axes hold tiles: one unit is a tile, and no ticks are shown."""
    ax.set(xlim=(0, across), ylim=(down, 0), aspect="equal", anchor="NW")
    ax.axis("off")


def add_tile_title(ax: Axes, title: str, lines: Sequence[str], pad: float = 8.0) -> None:
    """A title and lines of explanation above tiles in a user's axes; ``pad`` is the space below them in points."""
    text = "\n".join((title, *lines))
    ax.set_title(text, loc="left", pad=pad, fontsize=SMALL, color=INK, parse_math=False)


def draw_tile(
    ax: Axes,
    pixels: np.ndarray,
    x: float,
    y: float,
    bound: float,
    gid: str,
    height: float = 1.0,
    signed: bool | None = None,
    opacity: float = 1.0,
) -> None:
    """Draws one image at (x, y), one tile wide and ``height`` tiles high, its pixels unchanged.

    Non-negative values run from 0 to ``bound`` (dark to bright), signed ones from −bound (violet) over white to bound
    (brown); missing ones (NaN) are blank. An array with a last axis of three holds colours.

    Args:
        ax: See `tile_axes`.
        pixels: Shape (height, width) or (height, width, 3).
        x: Left edge, in tiles.
        y: Upper edge, in tiles.
        bound: End of the colour scale.
        gid: Identifier of the image in the figure.
        height: In tiles.
        signed: Whether the scale is the signed one; None for what the values require.
        opacity: Below 1 to let a tile behind it show.
    """
    from matplotlib.image import AxesImage

    if signed is None:
        signed = bool((pixels < 0).any())
    extent = (x, x + 1 - SEAM, y + (1 - SEAM) * height, y)
    image = AxesImage(ax, cmap=color_map(signed), extent=extent, interpolation="nearest", gid=gid, alpha=opacity)
    image.set_data(pixels)
    image.set_clim(-bound if signed else 0, bound)
    ax.add_image(image)


@cache
def color_map(signed: bool) -> Colormap:
    """The colours of tiles; missing values have none, so that the background shows."""
    from matplotlib import colormaps

    return colormaps["PuOr_r" if signed else "viridis"].with_extremes(bad=(0.0, 0.0, 0.0, 0.0))

"""Rows of pictures of units: images in colour, maps on a colour scale, and signed pictures around grey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from lightning_factorlens.plots._legends import scale_bar
from lightning_factorlens.plots.style import INK, SIDE_MARGIN, SMALL, TITLE, WIDTH, add_title, figure_of
from lightning_factorlens.plots.tiles import draw_tile, tile_axes, tile_inches
from lightning_factorlens.plots.type_width import layer_label, wrap_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Inches: above the lines of the title, such a line, a caption, the colour bar.
TOP = 0.5
LINE = 0.19
CAPTION = 0.24
BAR = 0.42
#: Width of the layer's name in the title, in inches.
TITLE_WIDTH = 3.2
#: Height of a picture in its width, at most and at least, and the fewest tiles that fill the width.
TALLEST = 2.0
LOWEST = 0.25
FEWEST = 6


@dataclass(frozen=True)
class UnitRow:
    """A row of pictures.

    Attributes:
        pictures: Arrays (height, width), on the colour scale from 0 to their bound, or (height, width, 3) in colour.
        gids: Identifier of each picture in the figure.
        caption: Words above the row; empty for none.
        bound: End of the colour scale; None for the largest value of each picture.
    """

    pictures: Sequence[np.ndarray]
    gids: Sequence[str]
    caption: str = ""
    bound: float | None = None


def unit_rows_figure(what: str, layer: str, explanation: str, rows: Sequence[UnitRow], scale: str = "") -> Figure:
    """Rows of pictures below each other.

    Args:
        what: What is shown of the layer: the beginning of the title.
        layer: Name of the layer, shortened where it is too long.
        explanation: What is shown.
        rows: At least one row.
        scale: What 1 means on the colour scale; empty where all pictures are in colour.
    """
    across = max(FEWEST, *(len(row.pictures) for row in rows))
    tile = tile_inches(None, across)
    lines = wrap_text(explanation, WIDTH - 2 * SIDE_MARGIN)
    heights = [picture_height(row.pictures[0].shape) for row in rows]
    captions = [CAPTION / tile if row.caption else 0.0 for row in rows]
    down = sum(heights) + sum(captions)
    ax = tile_axes(across, down, TOP + LINE * len(lines), BAR if scale else 0.06)
    figure = figure_of(ax)
    add_title(figure, f"{what} of {layer_label(layer, TITLE_WIDTH, TITLE)}", lines)
    y = 0.0
    for row, height, caption in zip(rows, heights, captions):
        y += caption
        if row.caption:
            label = layer_label(row.caption, WIDTH - 2 * SIDE_MARGIN)
            ax.text(0, y - 0.04 / tile, label, fontsize=SMALL, color=INK, va="bottom", parse_math=False)
        for place, (pixels, gid) in enumerate(zip(row.pictures, row.gids)):
            bound = row.bound if row.bound is not None else float(np.nanmax(np.abs(pixels), initial=0.0))
            draw_tile(ax, pixels, place, y, bound or 1.0, gid, height=height)
        y += height
    if scale:
        width, full = figure.get_size_inches()
        is_signed = any(bool((p < 0).any()) for row in rows for p in row.pictures if p.ndim == 2)
        scale_bar(figure, ((SIDE_MARGIN + 0.08) / width, 0.22 / full, 1.3 / width, 0.12 / full), is_signed, scale)
    return figure


def picture_height(shape: Sequence[int]) -> float:
    """Height of a picture in its width."""
    return min(max(shape[0] / shape[1], LOWEST), TALLEST)


def around_grey(picture: Tensor) -> np.ndarray:
    """A signed picture in colour, in which 0 is grey; the mean of the channels where there are not three.

    Args:
        picture: Shape (C, H, W); NaN becomes grey.

    Returns:
        Shape (H, W, 3).
    """
    pixels = picture.float().nan_to_num().numpy().transpose(1, 2, 0)
    if pixels.shape[2] != 3:
        pixels = pixels.mean(axis=2, keepdims=True).repeat(3, axis=2)
    largest = float(np.abs(pixels).max(initial=0.0)) or 1.0
    shifted: np.ndarray = 0.5 + pixels / (2 * largest)
    return shifted

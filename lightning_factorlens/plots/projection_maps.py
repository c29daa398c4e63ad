"""Where images excite singular vectors, in diverging colours over the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_factorlens._validation import check_type
from lightning_factorlens.plots._maps import as_picture, draw_map, is_images, largest_magnitude, tile_height
from lightning_factorlens.plots.latent_images import add_own_scale_bar, to_rgb
from lightning_factorlens.plots.style import INK, SMALL, add_title, figure_of
from lightning_factorlens.plots.tiles import draw_tile, tile_axes, tile_inches
from lightning_factorlens.plots.type_width import layer_label
from lightning_factorlens.results import ProjectionMaps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of vectors (columns) and images (rows); tiles in a row at least, so that one map is no poster.
MAX_VECTORS = 7
MAX_IMAGES = 8
LEAST_ACROSS = 5
#: Height of all rows in widths of the figure, at most.
MOST_DOWN = 1.2
#: Height in inches of the title, of the captions of the columns and of the colour bar.
TOP = 0.66
CAPTION = 0.24
BAR = 0.42


def projection_figure(maps: ProjectionMaps) -> Figure:
    """One row for each image: the image, then the map of every singular vector over it.

    Args:
        maps: From `hierarchy.projection_maps`; the first seven vectors and at most eight images are
            drawn.

    Returns:
        The figure. Images have the ids ``image/<image>``, maps ``map/<image>/<vector>``.

    Raises:
        ValueError: Another argument than maps.

    Example:
        >>> import torch
        >>> from lightning_factorlens.hierarchy import projection_maps
        >>> model, images = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU()), torch.rand(9, 1, 5, 5)
        >>> figure = projection_figure(projection_maps(model, images, "0", images=[0, 3], vectors=[0, 1]))
    """
    check_type("maps", maps, ProjectionMaps, "pass projection_maps(model, probe, layer, images, vectors)")
    vectors = maps.vectors[:MAX_VECTORS].tolist()
    has_images = is_images(maps.inputs)
    first = 1 if has_images else 0
    across = max(first + len(vectors), LEAST_ACROSS)
    caption = CAPTION / tile_inches(None, across)
    height = tile_height(to_rgb(maps.inputs[0]) if has_images else as_picture(maps.maps[0, 0]))
    n_shown = max(1, min(MAX_IMAGES, int(MOST_DOWN * across / height)))
    images = maps.images[:n_shown].tolist()
    ax = tile_axes(across, len(images) * height + caption, TOP, BAR)
    for row, image in enumerate(images):
        y = caption + row * height
        if has_images:
            draw_tile(ax, to_rgb(maps.inputs[row]), 0, y, 1.0, f"image/{image}", height=height)
        for column, vector in enumerate(vectors):
            picture = maps.inputs[row] if has_images else None
            bound = largest_magnitude(maps.maps[:, column])
            draw_map(ax, maps.maps[row, column], picture, first + column, y, bound, f"map/{image}/{vector}")
    _write_captions(ax, vectors, first, caption)
    figure = figure_of(ax)
    lines = [f"s vᵀΨ on the layer's own grid; images {', '.join(map(str, images))} from above"]
    add_title(figure, f"Heat maps of {layer_label(maps.layer, 3.0)}", lines)
    add_own_scale_bar(figure, True, "1: the largest magnitude of each vector")
    return figure


def _write_captions(ax: Axes, vectors: list[int], first: int, y: float) -> None:
    for column, vector in enumerate(vectors):
        text = f"vector {vector}" if column == 0 else str(vector)
        ax.text(first + column, y - 0.04, text, fontsize=SMALL - 1, color=INK, va="bottom")

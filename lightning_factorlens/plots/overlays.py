"""Which positions of some images are like an anchor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_factorlens._validation import check_type
from lightning_factorlens.plots._maps import as_picture, draw_map, is_images, tile_height
from lightning_factorlens.plots.latent_images import add_own_scale_bar, to_rgb
from lightning_factorlens.plots.style import INK, SMALL, add_title, figure_of
from lightning_factorlens.plots.tiles import SEAM, draw_tile, tile_axes, tile_inches
from lightning_factorlens.plots.type_width import layer_label
from lightning_factorlens.results import SimilarityOverlay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of images; tiles in a row at least.
MAX_IMAGES = 8
LEAST_ACROSS = 5
#: Height in inches of the title, of the captions and of the colour bar.
TOP = 0.66
CAPTION = 0.24
BAR = 0.42


def overlay_figure(overlay: SimilarityOverlay) -> Figure:
    """The images above, and below them the cosine of every position to the anchor, in diverging colours.

    Args:
        overlay: From `hierarchy.similarity_overlay`; the first eight images are drawn.

    Returns:
        The figure. Images have the ids ``image/<position>/<image>``, overlays ``map/<position>/<image>``, and the mark
        of the anchor ``anchor``.

    Raises:
        ValueError: Another argument than an overlay.

    Example:
        >>> import torch
        >>> from lightning_factorlens.hierarchy import similarity_overlay
        >>> model, images = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU()), torch.rand(9, 1, 5, 5)
        >>> figure = overlay_figure(similarity_overlay(model, images, "0", anchor=0, others=[3]))
    """
    check_type("overlay", overlay, SimilarityOverlay, "pass similarity_overlay(model, probe, layer, anchor)")
    images = overlay.images[:MAX_IMAGES].tolist()
    has_images = is_images(overlay.inputs)
    across = max(len(images), LEAST_ACROSS)
    caption = CAPTION / tile_inches(None, across)
    height = tile_height(to_rgb(overlay.inputs[0]) if has_images else as_picture(overlay.maps[0]))
    n_rows = 2 if has_images else 1
    ax = tile_axes(across, n_rows * height + caption, TOP, BAR)
    for column, image in enumerate(images):
        picture = overlay.inputs[column] if has_images else None
        text = f"anchor: {image}" if column == 0 else str(image)
        ax.text(column, caption - 0.04, text, fontsize=SMALL - 1, color=INK, va="bottom")
        if picture is not None:
            draw_tile(ax, to_rgb(picture), column, caption, 1.0, f"image/{column}/{image}", height=height)
        y = caption + (n_rows - 1) * height
        draw_map(ax, overlay.maps[column], picture, column, y, 1.0, f"map/{column}/{image}")
    if overlay.position is not None and overlay.maps.ndim == 3:
        _mark(ax, overlay, caption + (n_rows - 1) * height, height)
    where = "the mean over the anchor's image" if overlay.position is None else f"position {overlay.position}"
    figure = figure_of(ax)
    add_title(figure, f"Similarity in {layer_label(overlay.layer, 3.0)}", [f"cosine of the activations to {where}"])
    add_own_scale_bar(figure, True, "cosine")
    return figure


def _mark(ax: Axes, overlay: SimilarityOverlay, y: float, height: float) -> None:
    """A cross at the anchor."""
    assert overlay.position is not None
    row, column = overlay.position
    n_rows, n_columns = overlay.maps.shape[1:]
    center_x = (column + 0.5) / n_columns * (1 - SEAM)
    center_y = y + (row + 0.5) / n_rows * height * (1 - SEAM)
    ax.scatter([center_x], [center_y], marker="x", s=30, color=INK, linewidths=1.4, gid="anchor")

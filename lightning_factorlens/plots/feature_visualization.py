"""Pictures of what units respond to, each beside the real images of the largest scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from lightning_factorlens.plots.style import GREY, INK, SIDE_MARGIN, SMALL, WIDTH, add_title, figure_of
from lightning_factorlens.plots.tiles import SEAM, draw_tile, tile_axes, tile_inches
from lightning_factorlens.plots.type_width import layer_label, text_width, wrap_text
from lightning_factorlens.results import FeatureVisualization

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of pictures, and of real images beside each.
MAX_PICTURES = 8
MAX_EXEMPLARS = 6
#: Space between a picture and the real images, in tiles.
GAP = 0.2
ACROSS = 1 + GAP + MAX_EXEMPLARS
#: Height of a picture in its width, at least and at most.
LOWEST = 0.2
HIGHEST = 2.0
#: Height in inches of a caption, of a line of the title and of the space above these lines.
CAPTION = 0.24
LINE = 0.19
TOP = 0.5


def feature_visualization_figure(
    found: FeatureVisualization, title: str = "What units respond to", untrained: FeatureVisualization | None = None
) -> Figure | None:
    """The first eight pictures, each beside the real images of the largest scores.

    Args:
        found: From `FactorLens.visualize`.
        title: The title.
        untrained: The pictures of the untrained network; the share of its pictures above every real image is then
            written beside.

    Returns:
        The figure, or None without pictures. Images have the ids ``picture/<index>`` and
        ``exemplar/<index>/<position in the probe>``.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> from lightning_factorlens.visualization import Channel
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> found = FactorLens(model).visualize(torch.rand(9, 1, 5, 5), [Channel("0", 1), Channel("0", 2)])
        >>> figure = feature_visualization_figure(found)
    """
    n_shown = min(len(found), MAX_PICTURES)
    if not n_shown:
        return None
    tile = tile_inches(None, ACROSS)
    ratio = min(max(found.pictures.shape[2] / found.pictures.shape[3], LOWEST), HIGHEST)
    lines = wrap_text(_explanation(found, n_shown, untrained), WIDTH - 2 * SIDE_MARGIN)
    stride = ratio + (CAPTION + 0.06) / tile
    ax = tile_axes(ACROSS, n_shown * stride, TOP + LINE * len(lines))
    add_title(figure_of(ax), title, lines)
    for index in range(n_shown):
        y = index * stride + CAPTION / tile
        _draw_caption(ax, found, index, y - 0.03, tile)
        _draw_framed(ax, found.pictures[index], 0, y, f"picture/{index}", ratio)
        shown = zip(found.exemplars[index].tolist(), found.exemplar_pictures(index))
        for place, (position, picture) in enumerate(list(shown)[:MAX_EXEMPLARS]):
            gid = f"exemplar/{index}/{position}"
            _draw_framed(ax, picture, 1 + GAP + place, y, gid, ratio)
    return figure_of(ax)


def to_colours(picture: Tensor) -> np.ndarray:
    """A picture in colour with its own range; grey where it does not have three channels.

    Args:
        picture: Shape (C, H, W), from 0 to 1.

    Returns:
        Shape (H, W, 3).

    Example:
        >>> import torch
        >>> to_colours(torch.tensor([[[0.5]], [[1.0]]])).tolist()
        [[[0.75, 0.75, 0.75]]]
    """
    pixels: np.ndarray = picture.float().clamp(0, 1).numpy().transpose(1, 2, 0)
    if pixels.shape[2] != 3:
        pixels = pixels.mean(axis=2, keepdims=True).repeat(3, axis=2)
    return pixels


def _draw_framed(ax: Axes, picture: Tensor, x: float, y: float, gid: str, height: float) -> None:
    """A picture in a thin frame, without which a white one would be seen as a missing one."""
    from matplotlib.patches import Rectangle

    draw_tile(ax, to_colours(picture), x, y, 1.0, gid, height=height)
    ax.add_patch(Rectangle((x, y), 1 - SEAM, (1 - SEAM) * height, fc="none", ec=GREY, lw=0.5, gid=f"frame/{gid}"))


def _explanation(found: FeatureVisualization, n_shown: int, untrained: FeatureVisualization | None) -> str:
    counted = f"all {n_shown}" if n_shown == len(found) else f"{n_shown} of {len(found)}"
    text = f"{counted} pictures, preset {found.preset}; right: real images of the largest scores"
    if bool(found.is_live.any()):
        text += f"; {found.share_above:.0%} of the live ones are above every real image"
    if untrained is not None and bool(untrained.is_live.any()):
        text += f", of the untrained network {untrained.share_above:.0%}"
    return f"{text}; cosines of the layer's answers: with the exemplars, and with all images"


def _draw_caption(ax: Axes, found: FeatureVisualization, index: int, y: float, tile: float) -> None:
    """The objective, and its numbers at the right edge."""
    score, best = float(found.scores[index]), float(found.best_scores[index])
    near, far = float(found.exemplar_cosine[index]), float(found.probe_cosine[index])
    numbers = f"score {score:.3g}, best real {best:.3g}; cosines {near:.2f}, {far:.2f}"
    if not bool(found.is_live[index]):
        numbers = "the same score for all real images"
    ax.text(ACROSS, y, numbers, fontsize=SMALL, color=INK, ha="right", va="bottom")
    free = ACROSS * tile - text_width(numbers, SMALL) - 0.2
    name = layer_label(found.names[index], free)
    ax.text(0, y, name, fontsize=SMALL, color=INK, va="bottom", parse_math=False)

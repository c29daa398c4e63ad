"""One concept in full: its latent image and mask, its images and their neighbours, and where in the network it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from lightning_factorlens.plots._layer_axis import MAX_NAMES, NAME_WIDTH, name_layers
from lightning_factorlens.plots._legends import scale_bar
from lightning_factorlens.plots._pictures import in_words, named, picture_height, stability_in_words
from lightning_factorlens.plots.latent_images import to_rgb
from lightning_factorlens.plots.style import (
    BLUE,
    INK,
    SIDE_MARGIN,
    SMALL,
    WIDTH,
    add_title,
    new_figure,
    style_axes,
    subsample,
)
from lightning_factorlens.plots.tiles import draw_tile, set_tile_limits
from lightning_factorlens.plots.type_width import wrap_text
from lightning_factorlens.results import ConceptCard, ConceptPage, ConceptPictures, LayerPanel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Tiles in a row, largest number of latent channels, of rows of top images and of neighbours.
ACROSS = 8
MAX_CHANNELS = 4
MAX_ROWS = 2
TILE = (WIDTH - 2 * SIDE_MARGIN) / ACROSS
#: Largest number of channels that are named, and of concepts in the tally.
MAX_NAMED = 4
MAX_TALLY = 4
#: Inches: the space above the lines of a title, such a line, a heading, the colour bar, a layer, the chart's edges.
TOP = 0.5
LINE = 0.19
HEADING = 0.26
BAR = 0.4
ROW = 0.24
ABOVE = 0.32
BELOW = 0.5


def concept_card_figure(page: ConceptPage, number: int, title: str = "") -> Figure:
    """A concept: latent image by channel and in colour, mask, top images, nearest images, and its share of every layer.

    Args:
        page: From `concepts.concept_page`.
        number: Number of the concept.
        title: What follows the title, such as the epoch.

    Returns:
        The figure. Images have the ids ``latent/<channel>``, ``colour``, ``strongest/<image>``, ``masked/<image>``,
        ``top/<position>/<image>`` and ``nearest/<position>/<image>``; where the inputs are not images, the chart of the
        layers is drawn alone.

    Raises:
        KeyError: There is no such concept.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> from lightning_factorlens.concepts import concept_page
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> page = concept_page(FactorLens(model).concepts(torch.rand(9, 1, 5, 5), rank=2))
        >>> figure = concept_card_figure(page, 1)
    """
    card = page[number]
    lines = _explanation(card, title)
    picture = picture_height(page)
    above = TOP + LINE * len(lines)
    n_rows = 1 + _rows(len(card.top_images)) + _rows(len(card.nearest))
    pictures_height = (n_rows * picture * TILE + 3 * HEADING + 0.1) if picture else 0.0
    bar = BAR if picture else 0.0
    panels = subsample(card.panels, MAX_NAMES)
    chart = ROW * max(len(panels), 2)
    height = above + pictures_height + bar + ABOVE + chart + BELOW
    figure = new_figure(height)
    name = named(card, 3.0)
    add_title(figure, name[0].upper() + name[1:], lines)
    bottom = height - above - pictures_height
    if card.pictures is not None:
        edges = (SIDE_MARGIN / WIDTH, bottom / height, 1 - 2 * SIDE_MARGIN / WIDTH, pictures_height / height)
        ax = figure.add_axes(edges)
        set_tile_limits(ax, ACROSS, pictures_height / TILE)
        _draw_pictures(ax, card, card.pictures, picture)
        is_signed = bool((card.pictures.latent < 0).any())
        position = ((SIDE_MARGIN + 0.08) / WIDTH, (bottom - 0.16) / height, 1.3 / WIDTH, 0.12 / height)
        scale_bar(figure, position, is_signed, "1: the largest value of the latent image")
    left = NAME_WIDTH + 0.15
    edges = (left / WIDTH, BELOW / height, 1 - (left + 0.15) / WIDTH, chart / height)
    _draw_layers(figure.add_axes(edges), panels)
    return figure


def _explanation(card: ConceptCard, title: str) -> list[str]:
    """The numbers of a concept, and the concepts of the nearest images."""
    parts = [title, f"clarity {in_words(card.clarity)}"] if title else [f"clarity {in_words(card.clarity)}"]
    if not math.isnan(card.agreement):
        parts.append(f"agreement {in_words(card.agreement)}")
    if card.is_stable is not None:
        parts.append(f"stability {stability_in_words(card)}")
    tally = card.tally.argsort(descending=True, stable=True)[:MAX_TALLY].tolist()
    counts = [f"concept {k} in {int(card.tally[k])}" for k in tally if card.tally[k]]
    text = ", ".join(parts)
    if counts:
        text += f"; largest in the {len(card.nearest)} samples nearest to its strongest one: {', '.join(counts)}"
        text += f" (entropy {in_words(card.entropy)} nats)"
    return wrap_text(text, WIDTH - 2 * SIDE_MARGIN)


def _rows(n_images: int) -> int:
    """Rows of tiles for a number of images."""
    return min(-(-n_images // ACROSS), MAX_ROWS)


def _draw_pictures(ax: Axes, card: ConceptCard, pictures: ConceptPictures, height: float) -> None:
    """Latent image and mask, top images, and nearest images, from above."""
    heading = HEADING / TILE
    y = heading
    _draw_latent(ax, card, pictures, y, height)
    y += height + heading
    _heading(ax, y, f"its {len(pictures.top)} top images, strongest first")
    _draw_images(ax, pictures.top, card.top_images, "top", y, height)
    y += _rows(len(pictures.top)) * height + heading
    if len(pictures.nearest):
        _heading(ax, y, "the images nearest to the strongest one, by affinity to all concepts")
        _draw_images(ax, pictures.nearest, card.nearest, "nearest", y, height)


def _draw_latent(ax: Axes, card: ConceptCard, pictures: ConceptPictures, y: float, height: float) -> None:
    """The latent image of every channel and in colour, the strongest image, and its pixels inside of the mask."""
    latent = pictures.latent[:MAX_CHANNELS].numpy()
    bound = float(np.abs(latent).max()) or 1.0
    x = 0.0
    for channel, pixels in enumerate(latent):
        draw_tile(ax, pixels, x, y, bound, f"latent/{channel}", height=height)
        _heading(ax, y, f"ch {channel}" if len(pictures.latent) > 1 else "latent", x)
        x += 1
    if len(pictures.latent) == 3:
        draw_tile(ax, pictures.colour.numpy(), x, y, 1.0, "colour", height=height)
        _heading(ax, y, "colour", x)
        x += 1
    image = int(card.top_images[0])
    for name, pixels in (("strongest", to_rgb(pictures.top[0])), ("masked", to_rgb(pictures.masked))):
        draw_tile(ax, pixels, x + 0.3, y, 1.0, f"{name}/{image}", height=height)
        _heading(ax, y, name, x + 0.3)
        x += 1.15


def _heading(ax: Axes, y: float, text: str, x: float = 0.0) -> None:
    ax.text(x, y - 0.05, text, fontsize=SMALL - 1, color=INK, va="bottom")


def _draw_images(ax: Axes, images: Tensor, positions: Tensor, kind: str, y: float, height: float) -> None:
    for index, image in enumerate(images[: MAX_ROWS * ACROSS]):
        row, column = divmod(index, ACROSS)
        gid = f"{kind}/{index}/{int(positions[index])}"
        draw_tile(ax, to_rgb(image), column, y + row * height, 1.0, gid, height=height)


def _draw_layers(ax: Axes, panels: list[LayerPanel]) -> None:
    """The share of the concept in every layer, and its strongest channels there."""
    shares = [0.0 if math.isnan(panel.share) else panel.share for panel in panels]
    style_axes(ax, "", "share of the layer's energy; ch: channels", "", size=SMALL)
    ax.grid(False, axis="y")
    ax.barh(range(len(panels)), shares, height=0.6, color=BLUE, gid="shares")
    widest = max(shares, default=0.0) or 1.0
    for row, (panel, share) in enumerate(zip(panels, shares)):
        channels = ", ".join(map(str, panel.channels[:MAX_NAMED]))
        if channels:
            ax.text(share + 0.03 * widest, row, f"ch {channels}", fontsize=SMALL - 1.5, color=INK, va="center")
    ax.set_xlim(0, 1.9 * widest)
    name_layers(ax, [panel.layer for panel in panels])

"""How the scores of classes change along concepts: a heat map for each layer, and the agreement with the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_factorlens.plots._layer_axis import MAX_NAMES, NAME_WIDTH, name_layers
from lightning_factorlens.plots._legends import legend_below, scale_bar
from lightning_factorlens.plots.style import (
    BLUE,
    GREEN,
    INK,
    SIDE_MARGIN,
    SMALL,
    VERMILION,
    WIDTH,
    add_title,
    new_figure,
    style_axes,
    subsample,
)
from lightning_factorlens.plots.tiles import SEAM, draw_tile, set_tile_limits
from lightning_factorlens.plots.type_width import layer_label, wrap_text
from lightning_factorlens.results import TCAVResult
from lightning_factorlens.results.tcav import LEVEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of layers that have heat maps, evenly spaced, and heat maps in a row.
MAX_LAYERS = 6
COLUMNS = 2
#: Space between heat maps, in their width, and height of a heat map in its width, at least and at most.
GAP = 0.06
LOWEST = 0.2
HIGHEST = 1.0
#: Largest number of concepts and classes that the figure lists.
MAX_LISTED = 20
#: Inches: the space above the lines of the title, such a line, a name above a heat map, the colour bar, a layer's row
#: in the chart, around the chart.
TOP = 0.43
LINE = 0.19
NAME = 0.24
BAR = 0.5
ROW = 0.24
ABOVE = 0.1
BELOW = 1.0
#: Smallest size of a mark in points; smaller ones are left out.
SMALLEST_MARK = 1.2


def tcav_figure(result: TCAVResult, untrained: TCAVResult | None = None) -> Figure | None:
    """Mean derivative of every class along every concept by layer, beside the untrained network.

    Concepts are sorted by the class that their images name, so that agreement is a diagonal.

    Args:
        result: From `FactorLens.tcav`.
        untrained: What `FactorLens.tcav` finds in the untrained network; layers that it does not have stay empty.

    Returns:
        The figure, or None without layers or classes. Images have the ids ``derivative/<layer>`` and
        ``untrained/<layer>``, marks ``named/…`` and ``significant/…``, the chart ``agreement`` and
        ``untrained_agreement``.
    """
    if not result.layers or not result.classes:
        return None
    shown = subsample(range(len(result.layers)), MAX_LAYERS)
    n_rows = len(shown) if untrained is not None else -(-len(shown) // COLUMNS)
    tile = (WIDTH - 2 * SIDE_MARGIN) / (COLUMNS * (1 + GAP) - GAP)
    ratio = min(max(len(result.classes) / len(result.concept_classes), LOWEST), HIGHEST)
    maps_height = n_rows * (ratio * tile + NAME)
    rows_height = ROW * max(min(len(result.layers), MAX_NAMES), 3)
    lines = _explanation(result)
    above = TOP + LINE * len(lines)
    height = above + maps_height + BAR + ABOVE + rows_height + BELOW
    figure = new_figure(height)
    add_title(figure, f"Derivatives of class scores along concepts, {result.count} images each", lines)
    bottom = height - above - maps_height
    ax = figure.add_axes((SIDE_MARGIN / WIDTH, bottom / height, 1 - 2 * SIDE_MARGIN / WIDTH, maps_height / height))
    set_tile_limits(ax, COLUMNS * (1 + GAP) - GAP, maps_height / tile)
    for place, index in enumerate(shown):
        if untrained is None:
            row, column = divmod(place, COLUMNS)
            _draw_map(ax, result, index, _Place(row, column, ratio, tile), "derivative")
            continue
        _draw_map(ax, result, index, _Place(place, 0, ratio, tile), "derivative")
        if result.layers[index] in untrained.layers:
            other = untrained.layers.index(result.layers[index])
            _draw_map(ax, untrained, other, _Place(place, 1, ratio, tile), "untrained")
    bar = (0.25 / WIDTH, (bottom - 0.2) / height, 1.6 / WIDTH, 0.12 / height)
    scale_bar(figure, bar, True, "mean derivative; 1: the concept's largest")
    left = NAME_WIDTH + 0.2
    box = (left / WIDTH, BELOW / height, 1 - (left + 0.2) / WIDTH, rows_height / height)
    _draw_agreement(figure.add_axes(box), result, untrained)
    return figure


def _explanation(result: TCAVResult) -> list[str]:
    """What rows, columns and marks are; few classes and concepts are listed in their order."""
    classes = _listed(result.classes)
    concepts = _listed(_by_class(result))
    text = (
        f"rows from above: classes{classes}; columns: concepts{concepts}, by the class of their images; square: that "
        f"class; dot: significant at {LEVEL:g} after correction, which alone proves nothing: compare the untrained "
        "network"
    )
    return wrap_text(text, WIDTH - 2 * SIDE_MARGIN)


def _listed(numbers: Sequence[int]) -> str:
    if len(numbers) > MAX_LISTED:
        return ""
    return " " + ", ".join(map(str, numbers))


class _Place:
    """Where a heat map lies, in tiles: ``tile`` is the width of one in inches."""

    def __init__(self, row: int, column: int, ratio: float, tile: float) -> None:
        self.x = column * (1 + GAP)
        self.y = row * (ratio + NAME / tile) + NAME / tile
        self.ratio = ratio
        self.tile = tile


def _draw_map(ax: Axes, result: TCAVResult, index: int, place: _Place, kind: str) -> None:
    """One heat map under its name, with the marks of named classes and of significant pairs."""
    order = _by_class(result)
    layer = result.layers[index]
    values = result.mean_derivative[index].numpy()[:, order]
    largest = np.abs(values).max(0, initial=0)
    with np.errstate(invalid="ignore"):
        values = values / np.where(largest > 0, largest, 1.0)
    draw_tile(ax, values, place.x, place.y, 1.0, f"{kind}/{layer}", height=place.ratio, signed=True)
    name = layer_label("untrained" if kind == "untrained" else layer, place.tile)
    ax.text(place.x, place.y - 0.02, name, fontsize=SMALL, color=INK, va="bottom", parse_math=False)
    named = []
    for column, k in enumerate(order):
        if result.concept_classes[k] in result.classes:
            named.append((result.classes.index(result.concept_classes[k]), column))
    significant = np.argwhere(result.p_corrected[index].numpy()[:, order] <= LEVEL)
    _draw_marks(ax, np.array(named).reshape(-1, 2), values.shape, place, "s", 0.8, f"named/{kind}/{layer}")
    _draw_marks(ax, significant, values.shape, place, "o", 0.25, f"significant/{kind}/{layer}")


def _by_class(result: TCAVResult) -> list[int]:
    """The concepts, sorted by the class that their images name; those without one last."""

    def key(k: int) -> tuple[float, int]:
        name = result.concept_classes[k]
        return (math.inf if name is None else name, k)

    return sorted(range(len(result.concept_classes)), key=key)


def _draw_marks(
    ax: Axes, cells: np.ndarray, shape: tuple[int, ...], place: _Place, marker: str, size: float, gid: str
) -> None:
    """Marks at cells (row, column) of a heat map; none where the cells are too small for them."""
    cell = min((1 - SEAM) / shape[1], (1 - SEAM) * place.ratio / shape[0])
    points = size * cell * place.tile * 72
    if points < SMALLEST_MARK or not len(cells):
        return
    x = place.x + (cells[:, 1] + 0.5) / shape[1] * (1 - SEAM)
    y = place.y + (cells[:, 0] + 0.5) / shape[0] * (1 - SEAM) * place.ratio
    face = "none" if marker == "s" else INK
    ax.plot(x, y, marker, color=INK, mfc=face, mew=0.8, ms=min(points, 10.0), ls="none", gid=gid)


def _draw_agreement(ax: Axes, result: TCAVResult, untrained: TCAVResult | None) -> None:
    """Share of the concepts of which gradient and images name the same class, by layer."""
    style_axes(ax, "", "share of the concepts", "", size=SMALL)
    rows = range(len(result.layers))
    label = "strongest class by gradient is the class of the images"
    ax.plot(result.agreement(), rows, "o", color=BLUE, ms=6, gid="agreement", label=label)
    if untrained is not None:
        found = dict(zip(untrained.layers, untrained.agreement().tolist()))
        values = [found.get(layer, math.nan) for layer in result.layers]
        ax.plot(values, rows, "s", color=VERMILION, ms=6, gid="untrained_agreement", label="the same, untrained")
    chance = 1 / len(result.classes)
    ax.axvline(chance, color=GREEN, lw=1.2, ls=":", label=f"chance of one of {len(result.classes)} classes")
    name_layers(ax, result.layers)
    ax.set_xlim(-0.04, 1.04)
    legend_below(ax, 0.45, left=-NAME_WIDTH - 0.1, fontsize=SMALL - 1)

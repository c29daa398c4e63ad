"""Which components use the same neurons: a heat map for each layer, eigenvalues, and both by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_factorlens.plots._layer_axis import MAX_NAMES, NAME_WIDTH, name_layers
from lightning_factorlens.plots._legends import legend_below, scale_bar, widen_left
from lightning_factorlens.plots._pictures import check_page
from lightning_factorlens.plots._records import check_history
from lightning_factorlens.plots.style import (
    BLUE,
    GREEN,
    INK,
    LINE_COLORS,
    LINE_MARKERS,
    SIDE_MARGIN,
    SMALL,
    VERMILION,
    WIDTH,
    add_title,
    integer_locator,
    new_figure,
    style_axes,
    subsample,
    when,
)
from lightning_factorlens.plots.tiles import draw_tile, set_tile_limits
from lightning_factorlens.plots.type_width import layer_label
from lightning_factorlens.results import ConceptPage, LayerSimilarities, LayerSimilarity, Observation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of heat maps, of layers evenly spaced, and number of heat maps in a row.
MAX_MAPS = 6
COLUMNS = 3
#: The marks of the lines, in text.
SYMBOLS = "●■▲◆▼✚"
#: Width of a mark in inches.
SYMBOL = 0.17
#: Space between heat maps, and space for a name above one, in tiles.
GAP = 0.12
NAME = 0.2
#: Inches: the title, the colour bar with its label, a chart, a layer's row, a line of a legend, the spaces of a chart.
TOP = 0.82
BAR = 0.55
CHART = 1.2
ROW = 0.24
LEGEND_LINE = 0.2
ABOVE = 0.35
BELOW = 0.6


def similarity_figure(history: Sequence[Observation]) -> Figure | None:
    """Cosines between the columns of O_j for every layer.

    Saini and Papalexakis (2021), "Analyzing representations inside convolutional neural networks", figures 2 and 3.

    Args:
        history: Observations of one run, oldest first. The record ``neuron_similarity`` of the last one is drawn.

    Returns:
        The figure, or None where there is nothing to compare: no record, no layers, or a single component. Images have
        the ids ``cosine/<layer>``, lines ``eigenvalues/<layer>``, ``mean_cosine`` and ``mean_top_k``.

    Raises:
        ValueError: ``history`` is empty.
    """
    check_history(history)
    record = history[-1].get("neuron_similarity")
    if record is None:
        return None
    return layer_similarity_figure(record, f", {when(history[-1])}")


def layer_similarity_figure(record: LayerSimilarities, when_measured: str = "") -> Figure | None:
    """The figure of `similarity_figure`.

    Args:
        record: The similarity of every activation block.
        when_measured: End of the title, such as the epoch.

    Returns:
        The figure, or None where there is nothing to compare.
    """
    if not _can_be_compared(record.layers):
        return None
    return _similarity_figure(record.layers, f"Neuron similarity, rank {record.layers[0].rank}{when_measured}")


def concept_similarity_figure(page: ConceptPage, title: str = "Concepts: shared neurons") -> Figure | None:
    """Cosines between the neurons of concepts, see `similarity_figure`.

    Args:
        page: From `concepts.concept_page`.
        title: The title.

    Returns:
        The figure, or None where there is nothing to compare: no layers, or a single concept.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> from lightning_factorlens.concepts import concept_page
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> page = concept_page(FactorLens(model).concepts(torch.rand(9, 1, 5, 5), rank=2))
        >>> figure = concept_similarity_figure(page)
    """
    check_page(page)
    return _similarity_figure(page.similarities, title) if _can_be_compared(page.similarities) else None


def _can_be_compared(layers: Sequence[LayerSimilarity]) -> bool:
    return bool(layers) and layers[0].rank > 1


def _similarity_figure(layers: Sequence[LayerSimilarity], title: str) -> Figure:
    """The figure of the similarities of some layers."""
    shown = subsample(layers, MAX_MAPS)
    across = COLUMNS * (1 + GAP) - GAP
    down = -(-len(shown) // COLUMNS) * (1 + GAP + NAME)
    maps_height = down * (WIDTH - 2 * SIDE_MARGIN) / across
    rows = ROW * max(min(len(layers), MAX_NAMES), 3)
    height = TOP + maps_height + BAR + ABOVE + CHART + BELOW + rows + BELOW + 2 * LEGEND_LINE
    figure = new_figure(height)
    add_title(figure, title, ("cosine of the neurons of two components;", _mean_cosines(layers)))
    bottom = height - TOP - maps_height
    ax = figure.add_axes((SIDE_MARGIN / WIDTH, bottom / height, 1 - 2 * SIDE_MARGIN / WIDTH, maps_height / height))
    set_tile_limits(ax, across, down)
    is_signed = any(bool((similarity.cosine < 0).any()) for similarity in shown)
    _draw_maps(ax, shown, is_signed, (WIDTH - 2 * SIDE_MARGIN) / across)
    bar = (0.25 / WIDTH, (bottom - 0.18) / height, 1.9 / WIDTH, 0.12 / height)
    scale_bar(figure, bar, is_signed, "cosine; 1: the same neurons")
    bottom -= BAR + ABOVE + CHART
    _draw_eigenvalues(figure.add_axes((0.7 / WIDTH, bottom / height, 1 - 0.9 / WIDTH, CHART / height)), shown)
    left = NAME_WIDTH + 0.2
    bottom = BELOW + 2 * LEGEND_LINE
    _draw_layers(figure.add_axes((left / WIDTH, bottom / height, 1 - (left + 0.2) / WIDTH, rows / height)), layers)
    return figure


def _mean_cosines(layers: Sequence[LayerSimilarity]) -> str:
    """The range of the layers' mean cosine between two components."""
    finite = [similarity.mean_cosine for similarity in layers if math.isfinite(similarity.mean_cosine)]
    if not finite:
        return "no layer has one"
    if len(finite) == 1:
        return f"its mean over pairs of components is {finite[0]:.2f}"
    return f"its mean over pairs is {min(finite):.2f} to {max(finite):.2f}, by layer"


def _draw_maps(ax: Axes, shown: Sequence[LayerSimilarity], signed: bool, tile: float) -> None:
    """The heat maps under the names of their layers; ``tile`` is the width of one in inches."""
    for index, similarity in enumerate(shown):
        row, column = divmod(index, COLUMNS)
        x = column * (1 + GAP)
        y = row * (1 + GAP + NAME) + NAME
        draw_tile(ax, similarity.cosine.numpy(), x, y, 1.0, f"cosine/{similarity.layer}", signed=signed)
        ax.text(x, y - 0.03, SYMBOLS[index], fontsize=SMALL, color=LINE_COLORS[index], va="bottom")
        name = layer_label(similarity.layer, tile - SYMBOL)
        ax.text(x + SYMBOL / tile, y - 0.03, name, fontsize=SMALL, color=INK, va="bottom", parse_math=False)


def _draw_eigenvalues(ax: Axes, shown: Sequence[LayerSimilarity]) -> None:
    """Eigenvalues of every matrix, one line for each layer, in the colour and with the mark of its name above."""
    style_axes(
        ax, "Eigenvalues of the cosines, in the layers' colours", "number of the eigenvalue", "eigenvalue", size=SMALL
    )
    for index, similarity in enumerate(shown):
        numbers = range(1, similarity.rank + 1)
        gid = f"eigenvalues/{similarity.layer}"
        line = f"{LINE_MARKERS[index]}-"
        ax.plot(numbers, similarity.eigenvalues, line, color=LINE_COLORS[index], lw=1.4, ms=4, gid=gid)
    ax.axhline(1, color=GREEN, lw=1.2, ls=":")
    ax.xaxis.set_major_locator(integer_locator())
    ax.set_ylim(bottom=0)
    widen_left(ax)


def _draw_layers(ax: Axes, layers: Sequence[LayerSimilarity]) -> None:
    """Mean of the largest eigenvalues and mean cosine of every layer."""
    style_axes(ax, "", "mean (no unit)", "", size=SMALL)
    rows = range(len(layers))
    mean_top_k = [similarity.mean_top_k for similarity in layers]
    mean_cosine = [similarity.mean_cosine for similarity in layers]
    top_label = f"mean of the first {layers[0].k} eigenvalues; 1: no neurons are shared"
    label = "mean cosine between two components; 0: none are"
    ax.plot(mean_top_k, rows, "o", color=BLUE, ms=6, gid="mean_top_k", label=top_label)
    ax.plot(mean_cosine, rows, "s", color=VERMILION, ms=6, gid="mean_cosine", label=label)
    ax.axvline(1, color=GREEN, lw=1.2, ls=":")
    name_layers(ax, [similarity.layer for similarity in layers])
    ax.set_xlim(left=min(0.0, *mean_cosine) if all(map(math.isfinite, mean_cosine)) else None)
    legend_below(ax, 0.54, left=-NAME_WIDTH - 0.1, fontsize=SMALL - 1)

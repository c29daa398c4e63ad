"""Which components use the same neurons: a heat map for each layer, eigenvalues, and both against depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_factorlens.plots._records import check_history
from lightning_factorlens.plots.style import (
    BLUE,
    GREEN,
    INK,
    SIDE_MARGIN,
    SMALL,
    VERMILION,
    WIDTH,
    add_title,
    integer_locator,
    layer_label,
    legend,
    new_figure,
    style_axes,
    subsample,
)
from lightning_factorlens.plots.tiles import draw_tile, set_tile_limits
from lightning_factorlens.results import LayerSimilarity, Observation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of heat maps, of layers evenly spaced, and number of heat maps in a row.
MAX_MAPS = 6
COLUMNS = 3
#: Space between heat maps, and space for a name above one, in tiles.
GAP = 0.12
NAME = 0.2
#: Height of the title, and of the curves below the heat maps, in inches.
TOP = 0.82
CURVES = 2.35


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
    if record is None or not record.layers or record.layers[0].rank < 2:
        return None
    layers = record.layers
    shown = subsample(layers, MAX_MAPS)
    signed = any(bool((similarity.cosine < 0).any()) for similarity in shown)
    n_rows = -(-len(shown) // COLUMNS)
    across = COLUMNS * (1 + GAP) - GAP
    down = n_rows * (1 + GAP + NAME)
    maps_height = down * (WIDTH - 2 * SIDE_MARGIN) / across
    height = TOP + maps_height + CURVES
    figure = new_figure(height)
    maps = figure.add_axes((SIDE_MARGIN / WIDTH, CURVES / height, 1 - 2 * SIDE_MARGIN / WIDTH, maps_height / height))
    set_tile_limits(maps, across, down)
    _draw_maps(maps, shown, signed)
    bottom = 0.6 / height
    curve_height = (CURVES - 1.05) / height
    _draw_eigenvalues(figure.add_axes((0.1, bottom, 0.385, curve_height)), shown)
    _draw_depth(figure.add_axes((0.6, bottom, 0.385, curve_height)), layers)
    scale = "−1 violet, 0 white, 1 brown" if signed else "0 dark to 1 bright"
    lines = (
        f"cosine between the neurons of two components, {scale};",
        "only the diagonal stands out: each has neurons of its own",
    )
    add_title(figure, f"Neuron similarity, rank {layers[0].rank}, epoch {history[-1].epoch}", lines)
    return figure


def _draw_maps(ax: Axes, shown: Sequence[LayerSimilarity], signed: bool) -> None:
    for index, similarity in enumerate(shown):
        row, column = divmod(index, COLUMNS)
        x = column * (1 + GAP)
        y = row * (1 + GAP + NAME) + NAME
        draw_tile(ax, similarity.cosine.numpy(), x, y, 1.0, f"cosine/{similarity.layer}", signed=signed)
        name = layer_label(similarity.layer, 20)
        ax.text(x, y - 0.03, name, fontsize=SMALL, color=INK, va="bottom", parse_math=False)


def _draw_eigenvalues(ax: Axes, shown: Sequence[LayerSimilarity]) -> None:
    """Eigenvalues of every matrix; the curves of deeper layers are darker."""
    style_axes(ax, "eigenvalues, early to late", "number", size=SMALL)
    for index, similarity in enumerate(shown):
        depth = index / max(len(shown) - 1, 1)
        numbers = range(1, similarity.rank + 1)
        gid = f"eigenvalues/{similarity.layer}"
        opacity = 0.25 + 0.75 * depth
        ax.plot(numbers, similarity.eigenvalues, "o-", color=BLUE, alpha=opacity, lw=1.4, ms=3, gid=gid)
    ax.axhline(1, color=GREEN, lw=1.2, ls=":")
    ax.xaxis.set_major_locator(integer_locator())
    ax.set_ylim(bottom=0)


def _draw_depth(ax: Axes, layers: Sequence[LayerSimilarity]) -> None:
    """Mean of the largest eigenvalues and mean cosine against depth."""
    style_axes(ax, "by depth", "layer", size=SMALL)
    depths = range(1, len(layers) + 1)
    mean_top_k = [similarity.mean_top_k for similarity in layers]
    mean_cosine = [similarity.mean_cosine for similarity in layers]
    top_label = f"first {layers[0].k} eigenvalues"
    ax.plot(depths, mean_top_k, "o-", color=BLUE, lw=2, ms=5, gid="mean_top_k", label=top_label)
    ax.plot(depths, mean_cosine, "s--", color=VERMILION, lw=2, ms=5, gid="mean_cosine", label="off-diagonal cosine")
    ax.axhline(1, color=GREEN, lw=1.2, ls=":")
    ax.xaxis.set_major_locator(integer_locator())
    ax.set_ylim(top=max(1.0, *mean_top_k) * 2)
    legend(ax, loc="upper right", title="mean of", title_fontsize=SMALL - 1.5, fontsize=SMALL - 1.5)

"""Which components share neurons: a heat map a layer, the matrices' spectra, and both against depth."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightning_factorlens.loggers.tables import shorten
from lightning_factorlens.plots.style import (
    BLUE,
    GREEN,
    INK,
    SMALL,
    VERMILION,
    WIDTH,
    add_title,
    draw_tile,
    legend,
    new_figure,
    style_axes,
    subsample,
    tile_axes,
)  # fmt: skip
from lightning_factorlens.results import LayerSimilarity, Observation

#: Heat maps, of more layers so many evenly spaced; of them in a row.
MOST, COLUMNS = 6, 3
#: In widths of a tile: between heat maps, and above for a name.
GAP, NAME = 0.12, 0.2
#: Inches: above the heat maps, and of the curves below.
TOP, CURVES = 0.82, 2.35


def similarity_figure(observation: Observation) -> Figure | None:
    """Cosine between the columns of O_j, layer by layer (paper 001, figures 2 and 3).

    Args:
        observation: Of which ``similarity`` and ``epoch`` are read.

    Returns:
        The figure, or None where there is nothing to compare: no layers, or a single component. Images carry the ids
        ``cosine/<layer>``, lines ``eigenvalues/<layer>``, ``off_diagonal`` and ``first_k``.
    """
    found = observation.similarity
    if not found or found[0].rank < 2:
        return None
    shown = subsample(found, MOST)
    signed = any(bool((s.cosine < 0).any()) for s in shown)
    rows = -(-len(shown) // COLUMNS)
    across, down = COLUMNS * (1 + GAP) - GAP, rows * (1 + GAP + NAME)
    maps = down * (WIDTH - 0.24) / across
    height = TOP + maps + CURVES
    figure = new_figure(height)
    ax = tile_axes(figure, TOP, across, height - TOP)
    ax.set_position((0.12 / WIDTH, CURVES / height, 1 - 0.24 / WIDTH, maps / height))
    ax.set_ylim(down, 0)
    for k, layer in enumerate(shown):
        x, y = (k % COLUMNS) * (1 + GAP), (k // COLUMNS) * (1 + GAP + NAME) + NAME
        draw_tile(ax, layer.cosine.numpy(), x, y, 1.0, f"cosine/{layer.layer}", signed=signed)
        name = shorten(layer.layer, 20) or "(the model)"
        ax.text(x, y - 0.03, name, fontsize=SMALL, color=INK, va="bottom", parse_math=False)
    bottom, tall = 0.6 / height, (CURVES - 1.05) / height
    _spectra(figure.add_axes((0.1, bottom, 0.385, tall)), shown)
    _depth(figure.add_axes((0.6, bottom, 0.385, tall)), found)
    scale = "−1 violet, 0 white, 1 brown" if signed else "0 dark to 1 bright"
    words = (
        f"cosine between the neurons of two components, {scale};",
        "only the diagonal stands out: each has neurons of its own",
    )
    add_title(figure, f"Neuron similarity, rank {found[0].rank}, epoch {observation.epoch}", words)
    return figure


def _spectra(ax: Axes, shown: Sequence[LayerSimilarity]) -> None:
    style_axes(ax, "eigenvalues, early to late", "number", size=SMALL)
    for k, layer in enumerate(shown):
        deep = k / max(len(shown) - 1, 1)
        places = range(1, layer.rank + 1)
        ax.plot(places, layer.eigenvalues, "o-", color=BLUE, alpha=0.25 + 0.75 * deep, lw=1.4, ms=3,
                gid=f"eigenvalues/{layer.layer}")  # fmt: skip
    ax.axhline(1, color=GREEN, lw=1.2, ls=":")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylim(bottom=0)


def _depth(ax: Axes, found: Sequence[LayerSimilarity]) -> None:
    style_axes(ax, "by depth", "layer", size=SMALL)
    places = range(1, len(found) + 1)
    ax.plot(places, [s.mean_top_k for s in found], "o-", color=BLUE, lw=2, ms=5, gid="first_k",
            label=f"first {found[0].k} eigenvalues")  # fmt: skip
    ax.plot(places, [s.mean_cosine for s in found], "s--", color=VERMILION, lw=2, ms=5, gid="off_diagonal",
            label="off-diagonal cosine")  # fmt: skip
    ax.axhline(1, color=GREEN, lw=1.2, ls=":")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylim(top=max(1.0, *(s.mean_top_k for s in found)) * 2)
    legend(ax, loc="upper right", title="mean of", title_fontsize=SMALL - 1.5, fontsize=SMALL - 1.5)

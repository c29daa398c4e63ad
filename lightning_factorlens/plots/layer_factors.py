"""Where in each layer a component has its neurons, channel by channel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lightning_factorlens.plots._records import check_history
from lightning_factorlens.plots.grids import factor_maps
from lightning_factorlens.plots.latent_images import TopComponents, add_own_scale_bar, top_components
from lightning_factorlens.plots.style import INK, SIDE_MARGIN, SMALL, WIDTH, add_title, figure_of, subsample, when
from lightning_factorlens.plots.tiles import add_tile_title, draw_tile, set_tile_limits, tile_axes, tile_inches
from lightning_factorlens.plots.type_width import layer_label, text_width, wrap_text
from lightning_factorlens.results import Observation
from lightning_factorlens.results.curves import middle_rank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of layers, evenly spaced, of components, and of the strongest channels of each.
MAX_LAYERS = 3
MAX_COMPONENTS = 6
MAX_CHANNELS = 3
#: Space between layers, in tiles.
GAP = 0.3
#: Height of the title, of a line of names, of a caption under a row, and of the colour bar, in inches.
TOP = 0.82
NAME_LINE = 0.2
CAPTION = 0.24
BAR = 0.42
#: Space for the names of the layers below a title in a user's axes, in points.
NAME_PAD = 24.0


@dataclass(frozen=True)
class _Panel:
    """One layer.

    Attributes:
        layer: Its name.
        maps: Shape (rank, channels, height, width).
        n_neurons: Number of its neurons.
        n_kept: Number of those that a feature budget kept.
    """

    layer: str
    maps: np.ndarray
    n_neurons: int
    n_kept: int

    @property
    def n_tiles(self) -> int:
        return min(MAX_CHANNELS, self.maps.shape[1])


def layer_factors_figure(history: Sequence[Observation], ax: Axes | None = None) -> Figure | None:
    """The columns of O_j as maps, one row for each component, beside the component's latent image.

    Args:
        history: Observations of one run, oldest first. The ``factorization`` of the last one is drawn, at its middle
            rank, and its ``inputs`` where they are images.
        ax: Axes to draw into; None for a new figure.

    Returns:
        The figure, or None where no layer's shape is known. Images have the ids ``latent/<component>`` and
        ``layer/<layer>/<component>/<channel>``; their pixels are the factor's values, see `grids.factor_maps`.

    Raises:
        ValueError: ``history`` is empty.
    """
    check_history(history)
    panels = _panels(history[-1])
    if not panels:
        return None
    rank = len(panels[0].maps)
    top = top_components(history[-1])
    components = list(range(rank)) if top is None else top.order
    components = components[:MAX_COMPONENTS]
    left = 0.0 if top is None else 1 + GAP
    across = left + sum(panel.n_tiles + GAP for panel in panels) - GAP
    tile = tile_inches(ax, across)
    stride = 1 + CAPTION / tile
    headings = _headings(panels, tile)
    title = f"Hidden layers, rank {rank}, {when(history[-1])}"
    lines = _explanation(panels, headings)
    if ax is None:
        above = TOP + NAME_LINE * (len(lines) - 1)
        ax = tile_axes(across, len(components) * stride, above, BAR)
        add_title(figure_of(ax), title, lines)
        is_signed = any(bool((panel.maps < 0).any()) for panel in panels)
        add_own_scale_bar(figure_of(ax), is_signed, "1: the largest value of the layer in its row")
    else:
        set_tile_limits(ax, across, len(components) * stride)
        add_tile_title(ax, title, lines, pad=NAME_PAD)
    for row, component in enumerate(components):
        if top is not None:
            _draw_latent(ax, top, component, row * stride)
        _draw_row(ax, panels, component, left, row * stride)
    x = left
    for panel, heading in zip(panels, headings):
        ax.text(x, -0.06, heading, fontsize=SMALL, color=INK, va="bottom", fontweight="bold", parse_math=False)
        x += panel.n_tiles + GAP
    return figure_of(ax)


def _headings(panels: Sequence[_Panel], tile: float) -> list[str]:
    """The names of the layers, or letters where one of them is wider than its tiles; ``tile`` is one in inches."""
    names = [layer_label(panel.layer, WIDTH) for panel in panels]
    for name, panel in zip(names, panels):
        if text_width(name, SMALL, bold=True) > (panel.n_tiles + GAP / 2) * tile:
            return [chr(ord("A") + index) for index in range(len(panels))]
    return names


def _explanation(panels: Sequence[_Panel], headings: Sequence[str]) -> list[str]:
    """Lines below the title: what the tiles are, the layers' names, and why cells are blank."""
    lines = ["one row per component: latent image, then its strongest channels", "in each layer (ch: their numbers)"]
    for panel, heading in zip(panels, headings):
        if heading != layer_label(panel.layer, WIDTH):
            lines.append(f"{heading}: {layer_label(panel.layer, WIDTH - 2 * SIDE_MARGIN - 0.4)}")
    budgeted = [panel for panel in panels if panel.n_kept < panel.n_neurons]
    has_blanks = any(bool(np.isnan(panel.maps).any()) for panel in panels)
    if has_blanks and budgeted:
        n_kept = sum(panel.n_kept for panel in budgeted)
        n_neurons = sum(panel.n_neurons for panel in budgeted)
        text = f"blank: none of the {n_kept:,} neurons that were sampled of {n_neurons:,} (max_neurons_per_layer)"
        lines += wrap_text(text, WIDTH - 2 * SIDE_MARGIN)
    elif has_blanks:
        lines.append("blank: the layer has fewer neurons than the square has cells")
    return lines


def _panels(observation: Observation) -> list[_Panel]:
    """Some of the layers whose shapes are known, at the middle rank."""
    factorization = observation.factorization
    if factorization is None or not factorization.ranks:
        return []
    rank_index = factorization.ranks.index(middle_rank(factorization.ranks))
    names = factorization.block_names
    layers = [block for block, name in enumerate(names) if not name.startswith("input/")]
    panels = []
    for block in subsample(layers, MAX_LAYERS):
        maps = factor_maps(factorization, rank_index, block)
        if maps is not None:
            kept = factorization.kept_features[block]
            n_neurons = math.prod(factorization.shapes[block])
            n_kept = n_neurons if kept is None else len(kept)
            panels.append(_Panel(names[block], maps, n_neurons, n_kept))
    return panels


def _draw_latent(ax: Axes, top: TopComponents, component: int, y: float) -> None:
    """The mean over channels of a component's input factor."""
    factor = top.factors[top.order.index(component)]
    bound = float(np.nanmax(np.abs(factor))) or 1.0
    draw_tile(ax, factor.mean(axis=0), 0, y, bound, f"latent/{component}")
    _caption(ax, 0, y, f"comp. {component}")


def _draw_row(ax: Axes, panels: Sequence[_Panel], component: int, left: float, y: float) -> None:
    """One component in every layer: its strongest channels there, on one scale."""
    x = left
    for panel in panels:
        maps = panel.maps[component]
        strength = np.nansum(np.square(maps), axis=(1, 2))
        channels: list[int] = np.argsort(-strength, kind="stable")[: panel.n_tiles].tolist()
        bound = float(np.nanmax(np.abs(maps))) or 1.0
        for position, channel in enumerate(channels):
            draw_tile(ax, maps[channel], x + position, y, bound, f"layer/{panel.layer}/{component}/{channel}")
        if len(maps) > 1:
            _caption(ax, x, y, "ch " + ", ".join(map(str, channels)))
        x += panel.n_tiles + GAP


def _caption(ax: Axes, x: float, y: float, text: str) -> None:
    ax.text(x, y + 1.0, text, fontsize=SMALL - 1.5, color=INK, va="top")

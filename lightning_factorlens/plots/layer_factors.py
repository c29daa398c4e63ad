"""Where in each layer a component has its neurons, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lightning_factorlens.plots._records import check_history
from lightning_factorlens.plots.grids import factor_maps
from lightning_factorlens.plots.latent_images import TopComponents, top_components
from lightning_factorlens.plots.style import INK, SMALL, add_title, figure_of, layer_label, subsample
from lightning_factorlens.plots.tiles import add_tile_title, draw_tile, set_tile_limits, tile_axes, tile_inches
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
#: Height of the title with the names of the layers, and of a caption under a row, in inches.
TOP = 1.02
CAPTION = 0.24
#: Space for the names of the layers below a title in a user's axes, in points.
NAME_PAD = 24.0


@dataclass(frozen=True)
class _Panel:
    """One layer: its maps, shape (rank, channels, height, width)."""

    layer: str
    maps: np.ndarray

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
    stride = 1 + CAPTION / tile_inches(ax, across)
    is_new_figure = ax is None
    if ax is None:
        ax = tile_axes(across, len(components) * stride, TOP)
    else:
        set_tile_limits(ax, across, len(components) * stride)
    for row, component in enumerate(components):
        if top is not None:
            _draw_latent(ax, top, component, row * stride)
        _draw_row(ax, panels, component, left, row * stride)
    _name_layers(ax, panels, left)
    title = f"Hidden layers, rank {rank}, epoch {history[-1].epoch}"
    lines = (
        "one row per component: latent image, then the strongest channels",
        "of each layer (ch: their numbers); every layer has its own scale",
    )
    if is_new_figure:
        add_title(figure_of(ax), title, lines)
    else:
        add_tile_title(ax, title, lines, pad=NAME_PAD)
    return figure_of(ax)


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
            panels.append(_Panel(names[block], maps))
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


def _name_layers(ax: Axes, panels: Sequence[_Panel], left: float) -> None:
    """Names above the tiles."""
    x = left
    for panel in panels:
        name = layer_label(panel.layer, 7 * panel.n_tiles + 3)
        ax.text(x, -0.12, name, fontsize=SMALL, color=INK, va="bottom", fontweight="bold", parse_math=False)
        x += panel.n_tiles + GAP

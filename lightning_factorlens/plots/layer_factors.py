"""Hidden-layer panels: where in each layer a component has its neurons, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightning_factorlens.loggers.tables import shorten
from lightning_factorlens.loggers.tags import middle_rank
from lightning_factorlens.plots.grids import factor_maps
from lightning_factorlens.plots.latent_images import top_components
from lightning_factorlens.plots.style import INK, SMALL, WIDTH, add_title, draw_tile, new_figure, subsample, tile_axes
from lightning_factorlens.results import Observation

#: Layers shown, of more so many evenly spaced; components; strongest channels of each.
LAYERS = 3
COMPONENTS = 6
CHANNELS = 3
#: Between groups, in widths of a tile. Inches: above the tiles, and for a caption under a row.
GAP, TOP, CAPTION = 0.3, 1.02, 0.24


@dataclass(frozen=True)
class _Panel:
    """One layer: its maps (rank, channels, height, width) and how many tiles it is wide."""

    layer: str
    maps: np.ndarray

    @property
    def tiles(self) -> int:
        return min(CHANNELS, self.maps.shape[1])


def layer_factors_figure(observation: Observation) -> Figure | None:
    """The columns of O_j as maps, a row a component, beside the component's latent image.

    Args:
        observation: With a factorisation of the middle rank whose blocks have shapes.

    Returns:
        The figure, or None without a layer to draw. Images carry the ids ``latent/<component>`` and
        ``hidden/<layer>/<component>/<channel>``; the pixels are the factor's own, see `maps`.
    """
    panels = _panels(observation)
    f = observation.factorization
    if not panels or f is None:
        return None
    at = f.ranks.index(middle_rank(f.ranks))
    latents = top_components(observation)
    order = (latents.order if latents else list(range(f.ranks[at])))[:COMPONENTS]
    first = 1 + GAP if latents else 0.0
    across = first + sum(p.tiles + GAP for p in panels) - GAP
    inches = (WIDTH - 0.24) / across  # a tile's
    stride = 1 + CAPTION / inches
    down = len(order) * stride
    figure = new_figure(down * inches + TOP + 0.1)
    ax = tile_axes(figure, TOP, across, down)
    for row, component in enumerate(order):
        y = row * stride
        if latents:
            factor = latents.factors[latents.order.index(component)]
            draw_tile(ax, factor.mean(axis=0), 0, y, float(np.nanmax(np.abs(factor))) or 1.0, f"latent/{component}")
            _caption(ax, 0, y, f"comp. {component}")
        x = first
        for panel in panels:
            _row(ax, panel, component, x, y)
            x += panel.tiles + GAP
    _heads(ax, panels, first)
    words = (
        "a row a component: its latent image, then its strongest channels",
        "in each layer (ch: which), a scale of its own in each layer",
    )
    add_title(figure, f"Hidden layers, rank {f.ranks[at]}, epoch {observation.epoch}", words)
    return figure


def _panels(observation: Observation) -> list[_Panel]:
    f = observation.factorization
    if f is None or not f.ranks:
        return []
    at = f.ranks.index(middle_rank(f.ranks))
    hidden = [b for b, name in enumerate(f.block_names) if not name.startswith("input/")]
    found = [(f.block_names[b], factor_maps(f, at, b)) for b in subsample(hidden, LAYERS)]
    return [_Panel(name, drawn) for name, drawn in found if drawn is not None]


def _row(ax: Axes, panel: _Panel, component: int, x: float, y: float) -> None:
    """One component in one layer: the channels it is strongest in, on one scale."""
    drawn = panel.maps[component]
    strength = np.nansum(np.square(drawn), axis=(1, 2))
    channels = [int(c) for c in np.argsort(-strength, kind="stable")[: panel.tiles]]
    bound = float(np.nanmax(np.abs(drawn))) or 1.0
    for place, channel in enumerate(channels):
        draw_tile(ax, drawn[channel], x + place, y, bound, f"hidden/{panel.layer}/{component}/{channel}")
    if panel.maps.shape[1] > 1:
        _caption(ax, x, y, "ch " + ", ".join(map(str, channels)))


def _caption(ax: Axes, x: float, y: float, words: str) -> None:
    ax.text(x, y + 1.0, words, fontsize=SMALL - 1.5, color=INK, va="top")


def _heads(ax: Axes, panels: list[_Panel], x: float) -> None:
    for panel in panels:
        name = shorten(panel.layer, 7 * panel.tiles + 3) or "(the model)"
        ax.text(x, -0.12, name, fontsize=SMALL, color=INK, va="bottom", fontweight="bold", parse_math=False)
        x += panel.tiles + GAP

"""Spread over seeds: cosine of matched units, layer by layer, beside the untrained networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_factorlens._validation import check_type
from lightning_factorlens.plots._layer_axis import MAX_NAMES, layer_axes, layer_legend
from lightning_factorlens.plots.style import BLUE, VERMILION, figure_of, subsample
from lightning_factorlens.results.unit_spread import UnitSpread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def unit_spread_figure(spread: UnitSpread, ax: Axes | None = None) -> Figure:
    """Mean cosine of matched units of every pair of runs, and of every pair of untrained networks.

    Args:
        spread: From `visualization.unit_spread`.
        ax: Axes to draw into; None for a new figure.

    Returns:
        The figure, with the ids ``trained`` and ``untrained``.

    Example:
        >>> import torch
        >>> from lightning_factorlens.visualization import unit_spread
        >>> networks = [torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3)) for _ in range(4)]
        >>> figure = unit_spread_figure(unit_spread(networks[:2], networks[2:]))
    """
    check_type("spread", spread, UnitSpread, "pass what visualization.unit_spread returns")
    layers = subsample(list(spread.layers), MAX_NAMES)
    text = (
        f"units matched one to one by their {spread.by}, every pair of runs; a cosine that untrained networks reach as "
        "well comes from the matching alone"
    )
    is_new_figure = ax is None
    ax = layer_axes("Spread over runs", text, layers, "mean cosine of matched units", 0.95, ax)
    for kind, color, marker, offset in (("trained", BLUE, "o", -0.12), ("untrained", VERMILION, "s", 0.12)):
        x, y = [], []
        for row, name in enumerate(layers):
            layer = spread[name]
            means = (layer.cosine if kind == "trained" else layer.untrained).mean(1).tolist()
            x += means
            y += [row + offset] * len(means)
        ax.plot(x, y, marker, color=color, ms=5, ls="none", gid=kind, label=f"{kind}, one mark a pair")
    ax.set_xlim(-0.02, 1.04)
    layer_legend(ax, is_new_figure)
    return figure_of(ax)

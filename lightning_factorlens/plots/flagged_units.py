"""The share of every layer's units that are dead, rare or active in single pixels, from the record of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lightning_factorlens.plots._layer_axis import MAX_NAMES, NAME_WIDTH, layer_axes
from lightning_factorlens.plots._legends import legend_below
from lightning_factorlens.plots.style import INK, SMALL, VERMILION, figure_of, subsample
from lightning_factorlens.results.node_health import CAVEAT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Inches below the chart.
BELOW = 1.0


def flagged_units_figure(shares: Mapping[str, float], untrained: Mapping[str, float]) -> Figure:
    """One bar for each layer, with the share before training as a mark.

    Args:
        shares: Share by layer, from input to output; of many layers some are drawn, evenly spaced.
        untrained: Share by layer in the untrained network; empty where it is not known.

    Returns:
        The figure. Bars have the ids ``flagged/<layer>``, the marks together ``untrained``.

    Example:
        >>> figure = flagged_units_figure({"conv1": 0.25, "fc": 0.0}, {"conv1": 0.125})
        >>> len(figure.axes[0].patches)
        2
    """
    layers = subsample(list(shares), MAX_NAMES)
    ax = layer_axes("Units without a part", CAVEAT + ".", layers, "share of the layer's units", BELOW)
    rows = range(len(layers))
    label = "dead, rare or single-pixel"
    bars = ax.barh(rows, [shares[layer] for layer in layers], 0.6, color=VERMILION, label=label)
    for layer, bar in zip(layers, bars):
        bar.set_gid(f"flagged/{layer}")
    if untrained:
        values = [untrained.get(layer, float("nan")) for layer in layers]
        ax.plot(values, rows, "D", color=INK, ms=5, ls="none", gid="untrained", label="before training")
    ax.set_xlim(-0.01, 1.01)
    legend_below(ax, 0.45, n_columns=2, left=-NAME_WIDTH - 0.1, fontsize=SMALL - 1)
    return figure_of(ax)

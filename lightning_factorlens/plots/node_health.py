"""Node health: the share of every layer's units that are dead, rare or active in single pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lightning_factorlens._validation import check_type
from lightning_factorlens.plots._layer_axis import MAX_NAMES, layer_axes, layer_legend
from lightning_factorlens.plots.style import BLUE, GREY, INK, PURPLE, VERMILION, figure_of, subsample
from lightning_factorlens.results.node_health import CAVEAT, FINDINGS, NodeHealthResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours of the findings and of what is undecided.
COLORS = dict(zip(FINDINGS, (VERMILION, BLUE, PURPLE)))
#: Inches below the chart.
BELOW = 1.2


def node_health_figure(
    result: NodeHealthResult, untrained: NodeHealthResult | None = None, ax: Axes | None = None
) -> Figure:
    """The share of the units with each finding, layer by layer, with that of the untrained network as a mark.

    Args:
        result: From `visualization.node_health` or `FactorLens.node_health`.
        untrained: The result of the untrained network; layers that it does not have get no mark.
        ax: Axes to draw into; None for a new figure.

    Returns:
        The figure. Bars have the ids ``<finding>/<layer>``, the marks together ``untrained``.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> figure = node_health_figure(FactorLens(model).node_health(torch.rand(500, 1, 8, 8)))
    """
    check_type("result", result, NodeHealthResult, "pass what FactorLens.node_health returns")
    layers = subsample(list(result.layers), MAX_NAMES)
    is_new_figure = ax is None
    ax = layer_axes("Node health", _explanation(result), layers, "share of the layer's units", BELOW, ax)
    starts = np.zeros(len(layers))
    for finding, color in COLORS.items():
        shares = np.array([len(result[name].units(finding)) / len(result[name].verdicts) for name in layers])
        bars = ax.barh(range(len(layers)), shares, 0.6, left=starts, color=color, label=finding)
        for name, bar in zip(layers, bars):
            bar.set_gid(f"{finding}/{name}")
        starts = starts + shares
    undecided = [len(result[name].units("undecided")) / len(result[name].verdicts) for name in layers]
    ax.barh(
        range(len(layers)), undecided, 0.6, left=starts, color="none", edgecolor=GREY, hatch="///", label="undecided"
    )
    if untrained is not None:
        found = untrained.layers
        values = [1 - _healthy_share(untrained, name) if name in found else np.nan for name in layers]
        ax.plot(
            values, range(len(layers)), "D", color=INK, ms=5, ls="none", gid="untrained", label="all three, untrained"
        )
    ax.set_xlim(-0.01, 1.01)
    layer_legend(ax, is_new_figure)
    return figure_of(ax)


def _healthy_share(result: NodeHealthResult, name: str) -> float:
    layer = result[name]
    return len(layer.units("active", "undecided")) / len(layer.verdicts)


def _explanation(result: NodeHealthResult) -> str:
    first = next(iter(result.layers.values()))
    return (
        f"{first.n_images} images; dead: active in none, rare: in fewer than {first.rate:.2g}; single pixel: at most "
        f"two effective pixels in most images; false discovery rate {first.level:g}. {CAVEAT}"
    )

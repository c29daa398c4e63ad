"""Error against rank of the whole network, of its inputs and of its activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_factorlens.plots._legends import legend
from lightning_factorlens.plots.style import LINE_COLORS, LINE_MARKERS, WIDTH, figure_of, new_figure, style_axes
from lightning_factorlens.results import RankCurves
from lightning_factorlens.results.record import NETWORK_SCOPES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Height of the figure in inches.
HEIGHT = 3.9
#: Largest number of curves: as many as there are colours.
MAX_CURVES = len(LINE_COLORS)


def rank_curves_figure(curves: RankCurves, ax: Axes | None = None) -> Figure | None:
    """Relative error against rank, one line for each part of the network.

    Args:
        curves: A record ``reconstruction_error`` or ``svd_error``. The curves of the whole network, of its inputs and
            of its activations are drawn; the first ones where it has none of these.
        ax: Axes to draw into; None for a new figure.

    Returns:
        The figure, or None without curves. Lines have the ids ``curve/<scope>``.
    """
    scopes = [scope for scope in NETWORK_SCOPES if scope in curves.curves] or list(curves.curves)[:MAX_CURVES]
    if not scopes:
        return None
    if ax is None:
        ax = new_figure(HEIGHT).add_axes((0.78 / WIDTH, 0.17, 1 - 0.95 / WIDTH, 0.72))
    ranks = sorted({rank for scope in scopes for rank in curves[scope].ranks})
    style_axes(ax, "Error against rank", "rank (components)", "relative error  ‖X − X̂‖ / ‖X‖")
    for scope, color, marker in zip(scopes, LINE_COLORS, LINE_MARKERS):
        curve = curves[scope]
        gid = f"curve/{scope}"
        ax.plot(curve.ranks, curve.rel_error, f"{marker}-", color=color, lw=2.2, ms=6, gid=gid, label=scope)
    ax.set_xscale("log", base=2)
    ax.set_xticks(ranks, labels=list(map(str, ranks)))
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    legend(ax, facecolor="white", framealpha=0.8)
    return figure_of(ax)

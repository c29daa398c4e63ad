"""Error against rank: of the last observation, of earlier ones, and of the truncated SVD."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_factorlens.plots._records import check_history, total_curve
from lightning_factorlens.plots.style import (
    BLUE,
    GREEN,
    MAX_PAST,
    SMALL,
    VERMILION,
    figure_of,
    legend,
    new_figure,
    past_opacity,
    style_axes,
    subsample,
)
from lightning_factorlens.results import Observation, RequiredRank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Smallest upper end of the error axis: errors of zero, as at as many ranks as samples, would put all else far above.
SMALLEST_TOP = 0.1


def rank_curve_figure(history: Sequence[Observation], ax: Axes | None = None) -> Figure | None:
    """Relative error of all blocks together against rank, above that of the truncated SVD.

    Args:
        history: Observations of one run, oldest first. The last one is the present one: its ``reconstruction_error``,
            ``svd_error`` and ``required_rank`` are drawn; of the earlier ones only the first.
        ax: Axes to draw into; None for a new figure.

    Returns:
        The figure, or None where the last observation has no reconstruction error. Lines have the ids ``current``,
        ``svd``, ``required`` and ``past/<epoch>``.

    Raises:
        ValueError: ``history`` is empty.
    """
    check_history(history)
    if total_curve(history[-1], "reconstruction_error") is None:
        return None
    if ax is None:
        ax = new_figure(4.3).add_axes((0.14, 0.145, 0.835, 0.765))
    _draw_past(ax, history[:-1])
    _draw_present(ax, history[-1])
    _add_legend(ax, history)
    return figure_of(ax)


def _past(history: Sequence[Observation]) -> list[Observation]:
    """Those of the earlier observations that are drawn."""
    measured = [earlier for earlier in history if total_curve(earlier, "reconstruction_error") is not None]
    return subsample(measured, MAX_PAST)


def _draw_past(ax: Axes, earlier: Sequence[Observation]) -> None:
    shown = _past(earlier)
    for index, observation in enumerate(shown):
        curve = total_curve(observation, "reconstruction_error")
        if curve is not None:
            opacity = past_opacity(index, len(shown))
            gid = f"past/{observation.epoch}"
            ax.plot(curve.ranks, curve.rel_error, color=BLUE, lw=1.1, alpha=opacity, gid=gid)


def _draw_present(ax: Axes, observation: Observation) -> None:
    svd = total_curve(observation, "svd_error")
    if svd is not None:
        ax.plot(svd.ranks, svd.rel_error, "--", color=VERMILION, lw=2.2, gid="svd", zorder=3)
    curve = total_curve(observation, "reconstruction_error")
    assert curve is not None
    ax.plot(curve.ranks, curve.rel_error, "o-", color=BLUE, lw=2.8, ms=7, gid="current", zorder=4)
    style_axes(ax, f"Error against rank, epoch {observation.epoch}", "rank", "relative error  ‖X − X̂‖ / ‖X‖")
    ax.set_xscale("log", base=2)
    ax.set_xticks(curve.ranks, labels=[str(rank) for rank in curve.ranks])
    ax.minorticks_off()
    ax.set_ylim(0, max(ax.get_ylim()[1], SMALLEST_TOP))
    required_ranks = observation.get("required_rank")
    if required_ranks is not None:
        for required in required_ranks.ranks:
            if math.isfinite(required.rank):
                _mark_required(ax, required, curve.ranks)


def _mark_required(ax: Axes, required: RequiredRank, ranks: Sequence[int]) -> None:
    """A line at τ, a diamond where the curve meets it, and a text at the other end."""
    percent = f"{100 * required.tau:.4g} %"
    text = f"{percent} at rank {required.rank:.1f}"
    if required.is_lower_bound:
        text = f"{percent} not reached by rank {ranks[-1]}"
    ax.axhline(required.tau, color=GREEN, lw=1.4, ls=":", zorder=1)
    x = ranks[0]
    align = "left"
    is_in_left_half = required.rank**2 < ranks[0] * ranks[-1]
    if is_in_left_half and not required.is_lower_bound:
        x = ranks[-1]
        align = "right"
    label = ax.text(x, required.tau, text, color=GREEN, fontsize=SMALL, va="bottom", ha=align, zorder=6)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1}
    label.set(gid=f"required/{required.tau}", bbox=box)
    if not required.is_lower_bound:
        ax.plot([required.rank], [required.tau], "D", color=GREEN, ms=8, mec="white", zorder=5, gid="required")


def _add_legend(ax: Axes, history: Sequence[Observation]) -> None:
    from matplotlib.lines import Line2D

    present = history[-1]
    past = _past(history[:-1])
    handles = [Line2D([], [], color=BLUE, lw=2.8, marker="o", label=f"NMF, epoch {present.epoch}")]
    if past:
        epochs = f"{past[0].epoch}"
        if len(past) > 1:
            epochs = f"{past[0].epoch} to {past[-1].epoch}, later is darker"
        handles.append(Line2D([], [], color=BLUE, lw=1.1, alpha=0.45, label=f"epoch {epochs}"))
    if total_curve(present, "svd_error") is not None:
        label = "SVD: no factorisation passes below"
        handles.append(Line2D([], [], color=VERMILION, lw=2.2, ls="--", label=label))
    legend(ax, handles=handles)

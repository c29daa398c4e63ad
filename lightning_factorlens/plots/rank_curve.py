"""Error against rank: of the last observation, of earlier ones, and of the truncated SVD."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_factorlens.plots._legends import legend, legend_below, widen_left
from lightning_factorlens.plots._records import check_history, total_curve
from lightning_factorlens.plots.style import (
    BLUE,
    GREEN,
    MAX_PAST,
    VERMILION,
    WIDTH,
    figure_of,
    new_figure,
    past_opacity,
    style_axes,
    subsample,
    when,
)
from lightning_factorlens.results import Observation, RequiredRank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

#: Smallest upper end of the error axis: errors of zero, as at as many ranks as samples, would put all else far above.
SMALLEST_TOP = 0.1
#: Inches: height of the axes, space above and below them, and height of a line of the legend.
CHART = 2.9
ABOVE = 0.4
BELOW = 0.62
LEGEND_LINE = 0.22
#: Smallest distance of two named ranks, as a fraction of the axis.
NAME_DISTANCE = 0.06


def rank_curve_figure(history: Sequence[Observation], ax: Axes | None = None) -> Figure | None:
    """Relative error of all blocks together against rank, above that of the truncated SVD.

    Args:
        history: Observations of one run, oldest first. The last one is the present one: its ``reconstruction_error``,
            ``svd_error`` and ``required_rank`` are drawn; of the earlier ones only the first.
        ax: Axes to draw into; None for a new figure.

    Returns:
        The figure, or None where the last observation has no reconstruction error. Lines have the ids ``current``,
        ``svd``, ``required/<tau>`` and ``past/<epoch>``.

    Raises:
        ValueError: ``history`` is empty.
    """
    check_history(history)
    if total_curve(history[-1], "reconstruction_error") is None:
        return None
    is_new_figure = ax is None
    handles = legend_handles(history)
    if ax is None:
        below = BELOW + LEGEND_LINE * len(handles)
        height = ABOVE + CHART + below
        ax = new_figure(height).add_axes((0.78 / WIDTH, below / height, 1 - 0.95 / WIDTH, CHART / height))
    _draw_past(ax, history[:-1])
    _draw_present(ax, history[-1])
    if is_new_figure:
        widen_left(ax)
        legend_below(ax, 0.56, handles=handles)
    else:
        legend(ax, handles=handles, facecolor="white", framealpha=0.8)
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
    title = f"Error against rank, {when(observation)}"
    style_axes(ax, title, "rank (components)", "relative error  ‖X − X̂‖ / ‖X‖")
    ax.set_xscale("log", base=2)
    if len(curve.ranks) == 1:
        ax.set_xlim(curve.ranks[0] / 2, curve.ranks[0] * 2)
    ax.set_xticks(curve.ranks, labels=_rank_names(curve.ranks))
    ax.minorticks_off()
    highest = max(SMALLEST_TOP, ax.get_ylim()[1])
    for required in _required(observation):
        ax.axhline(required.tau, color=GREEN, lw=1.4, ls=":", zorder=1)
        highest = max(highest, 1.05 * required.tau)
        if not required.is_lower_bound and required.tau <= curve.rel_error[0]:
            gid = f"required/{required.tau}"
            ax.plot([required.rank], [required.tau], "D", color=GREEN, ms=8, mec="white", zorder=5, gid=gid)
    ax.set_ylim(0, highest)


def _rank_names(ranks: Sequence[int]) -> list[str]:
    """The ranks as texts, empty where they would stand in each other's way; the last one is always there."""
    length = math.log2(ranks[-1] / ranks[0]) or 1.0
    names = [""] * len(ranks)
    left = math.inf
    for index in range(len(ranks) - 1, -1, -1):
        position = math.log2(ranks[index] / ranks[0]) / length
        if left - position >= NAME_DISTANCE:
            names[index] = str(ranks[index])
            left = position
    return names


def _required(observation: Observation) -> list[RequiredRank]:
    """The required ranks that are known."""
    record = observation.get("required_rank")
    if record is None:
        return []
    return [required for required in record.ranks if math.isfinite(required.rank)]


def legend_handles(history: Sequence[Observation]) -> list[Line2D]:
    """One entry for each kind of line, and one for each required rank."""
    from matplotlib.lines import Line2D

    present = history[-1]
    past = _past(history[:-1])
    handles = [Line2D([], [], color=BLUE, lw=2.8, marker="o", label=f"factorisation, epoch {present.epoch}")]
    if past:
        epochs = f"{past[0].epoch}"
        if len(past) > 1:
            epochs = f"{past[0].epoch} to {past[-1].epoch}, later is darker"
        handles.append(Line2D([], [], color=BLUE, lw=1.1, alpha=0.45, label=f"epoch {epochs}"))
    if total_curve(present, "svd_error") is not None:
        label = "SVD: no factorisation passes below"
        handles.append(Line2D([], [], color=VERMILION, lw=2.2, ls="--", label=label))
    curve = total_curve(present, "reconstruction_error")
    assert curve is not None
    for required in _required(present):
        text = _required_text(required, curve.ranks, curve.rel_error)
        handles.append(Line2D([], [], color=GREEN, lw=1.4, ls=":", marker="D", label=text))
    return handles


def _required_text(required: RequiredRank, ranks: Sequence[int], errors: Sequence[float]) -> str:
    """Where the curve comes down to τ."""
    percent = f"{100 * required.tau:.4g} % error"
    if required.is_lower_bound:
        return f"{percent}: rank > {ranks[-1]}, the largest tried"
    if required.tau > errors[0]:
        return f"{percent}: rank {ranks[0]} already has less"
    return f"{percent}: rank {required.rank:.1f}"

"""A run over its epochs: consistency with its lowest epoch, required ranks and effective rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightning_factorlens.plots._records import check_history, epochs_of
from lightning_factorlens.plots.style import (
    BLUE,
    GREEN,
    ORANGE,
    SMALL,
    VERMILION,
    integer_locator,
    new_figure,
    style_axes,
)
from lightning_factorlens.results import Observation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Space for labels to the right of the last epoch, as a fraction of all epochs.
LABEL_SPACE = 0.36
#: Colours of the required ranks, one for each τ.
TAU_COLORS = (ORANGE, VERMILION, GREEN)


@dataclass(frozen=True)
class _Line:
    """One quantity over the epochs; NaN where an observation does not have it."""

    label: str
    gid: str
    color: str
    style: str
    values: list[float]


def history_figure(history: Sequence[Observation]) -> Figure | None:
    """Consistency with its lowest epoch marked, above the required ranks and the effective rank, over epochs.

    Args:
        history: Observations of one run, oldest first. Their records ``consistency``, ``required_rank`` and
            ``effective_rank`` are drawn, where they have them; thresholds τ are those of the last observation.

    Returns:
        The figure, or None before the second observation and where none of these was measured. Lines have the ids
        ``consistency``, ``lowest``, ``effective_rank`` and ``rank_at/<tau>``.

    Raises:
        ValueError: ``history`` is empty.
    """
    check_history(history)
    if len(history) < 2:
        return None
    consistency = _consistency_values(history)
    has_consistency = any(math.isfinite(value) for value in consistency)
    rank_lines = _rank_lines(history)
    if not has_consistency and not rank_lines:
        return None
    if not has_consistency:
        figure = new_figure(3.4)
        _draw_ranks(figure.add_axes((0.125, 0.175, 0.86, 0.72)), history, rank_lines)
    elif not rank_lines:
        figure = new_figure(3.4)
        _draw_consistency(figure.add_axes((0.125, 0.175, 0.86, 0.72)), history, consistency)
    else:
        figure = new_figure(5.6)
        _draw_consistency(figure.add_axes((0.125, 0.585, 0.86, 0.355)), history, consistency)
        _draw_ranks(figure.add_axes((0.125, 0.1, 0.86, 0.355)), history, rank_lines)
    return figure


def _consistency_values(history: Sequence[Observation]) -> list[float]:
    """One value for each observation, NaN where there is none."""
    values = []
    for observation in history:
        record = observation.get("consistency")
        values.append(math.nan if record is None else record["consistency"])
    return values


def _draw_consistency(ax: Axes, history: Sequence[Observation], values: Sequence[float]) -> None:
    finite = [value for value in values if math.isfinite(value)]
    lowest = min(finite)
    lowest_epoch = history[values.index(lowest)].epoch
    title = f"Consistency: lowest at epoch {lowest_epoch}, {lowest:.2f}"
    if values[-1] > lowest:
        title += f", now {values[-1]:.2f}"
    style_axes(ax, title, "", "nats, lower is better")
    epochs = epochs_of(history)
    ax.plot(epochs, values, "o-", color=BLUE, lw=2.6, ms=4, gid="consistency")
    ax.plot([lowest_epoch], [lowest], "D", color=VERMILION, ms=9, mec="white", gid="lowest", zorder=4)
    ax.axvline(lowest_epoch, color=VERMILION, lw=1.2, ls=":", zorder=1)
    ax.set_ylim(bottom=0)
    _set_epoch_axis(ax, history)


def _rank_lines(history: Sequence[Observation]) -> list[_Line]:
    """The effective rank where any observation has it, and one line for each τ of the last observation."""
    lines = []
    effective_ranks = []
    for observation in history:
        record = observation.get("effective_rank")
        effective_ranks.append(math.nan if record is None else record.by_scope.get("total", math.nan))
    if any(math.isfinite(value) for value in effective_ranks):
        lines.append(_Line("effective rank", "effective_rank", BLUE, "o-", effective_ranks))
    last = history[-1].get("required_rank")
    if last is None:
        return lines
    for number, required in enumerate(last.ranks):
        label = f"rank@{100 * required.tau:.4g}%"
        if required.is_lower_bound:
            label = f"over {label}"
        color = TAU_COLORS[number % len(TAU_COLORS)]
        values = _required_ranks(history, required.tau)
        lines.append(_Line(label, f"rank_at/{required.tau}", color, "s--", values))
    return lines


def _required_ranks(history: Sequence[Observation], tau: float) -> list[float]:
    """rank@τ of every observation, NaN where it was not measured."""
    values = []
    for observation in history:
        record = observation.get("required_rank")
        rank = math.nan
        if record is not None:
            for required in record.ranks:
                if required.tau == tau:
                    rank = required.rank
        values.append(rank)
    return values


def _draw_ranks(ax: Axes, history: Sequence[Observation], lines: Sequence[_Line]) -> None:
    style_axes(ax, "Ranks: how finely inputs are distinguished", "epoch", "rank")
    epochs = epochs_of(history)
    for line in lines:
        ax.plot(epochs, line.values, line.style, color=line.color, lw=2.2, ms=4, gid=line.gid)
    ax.set_ylim(bottom=0)
    _set_epoch_axis(ax, history)
    # Labels stand at the ends of their lines instead of in a legend, the lowest first, and do not overlap.
    spacing = 0.11 * ax.get_ylim()[1]
    lowest_free = 0.0
    labelled = [line for line in lines if math.isfinite(line.values[-1])]
    for line in sorted(labelled, key=lambda line: line.values[-1]):
        y = max(line.values[-1], lowest_free)
        text = f" {line.label}"
        ax.text(epochs[-1], y, text, color=line.color, fontsize=SMALL, va="center", fontweight="bold")
        lowest_free = y + spacing


def _set_epoch_axis(ax: Axes, history: Sequence[Observation]) -> None:
    """Ticks at whole epochs, and space for labels to the right of the last one."""
    first = history[0].epoch
    last = history[-1].epoch
    ticks = integer_locator(8).tick_values(first, last)
    ax.set_xticks([tick for tick in ticks if first <= tick <= last])
    ax.set_xlim(right=last + LABEL_SPACE * (last - first))

"""A run over its epochs: consistency with the best epoch, required ranks and effective rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightning_factorlens.plots._legends import legend_below, widen_left
from lightning_factorlens.plots._records import check_history, epochs_of
from lightning_factorlens.plots.style import (
    BLUE,
    LINE_COLORS,
    LINE_MARKERS,
    VERMILION,
    epoch_label,
    new_figure,
    set_epoch_axis,
    style_axes,
)
from lightning_factorlens.results import Observation, RequiredRank
from lightning_factorlens.results.findings import StopAdvice
from lightning_factorlens.stopping.run_advice import observation_of, run_advice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches: the left edge of both charts, their width, the height of one, and the space below and above it.
LEFT = 0.75
CHART_WIDTH = 4.7
CHART = 1.9
BELOW = 0.62
ABOVE = 0.4
#: Height of a line of the legend, in inches, and the number of its columns.
LEGEND_LINE = 0.2
COLUMNS = 2


@dataclass(frozen=True)
class _Line:
    """One quantity over the epochs; NaN where an observation does not have it.

    Attributes:
        label: Its name and its last value.
        gid: Its id in the figure.
        values: One value for each observation.
        capped: Whether each value is only a lower bound.
    """

    label: str
    gid: str
    values: list[float]
    capped: list[bool]


def history_figure(history: Sequence[Observation], advice: StopAdvice | None = None) -> Figure | None:
    """Consistency with the best epoch marked, above the required ranks and the effective rank, over epochs.

    Args:
        history: Observations of one run, oldest first. Their records ``consistency``, ``required_rank`` and
            ``effective_rank`` are drawn, where they have them; thresholds τ are those of the last observation that has
            any.
        advice: What a stopping rule has decided; None, or one without a decision, for the default rule, see
            `run_advice`.

    Returns:
        The figure, or None before the second observation and where none of these was measured. Lines have the ids
        ``consistency``, ``best``, ``effective_rank``, ``rank_at/<tau>`` and, where ranks are only lower bounds,
        ``capped/<tau>``.

    Raises:
        ValueError: ``history`` is empty.
    """
    check_history(history)
    if len(history) < 2:
        return None
    consistency = consistency_values(history)
    has_consistency = any(map(math.isfinite, consistency))
    lines = _rank_lines(history)
    if not has_consistency and not lines:
        return None
    legend_height = LEGEND_LINE * -(-(len(lines) + any(any(line.capped) for line in lines)) // COLUMNS)
    height = 0.0
    if has_consistency:
        height += ABOVE + CHART + BELOW
    if lines:
        height += ABOVE + CHART + BELOW + legend_height
    figure = new_figure(height)
    if has_consistency:
        bottom = height - ABOVE - CHART
        ax = figure.add_axes(_position(bottom, height))
        _draw_consistency(ax, history, consistency, run_advice(history, advice))
    if lines:
        ax = figure.add_axes(_position(BELOW + legend_height, height))
        _draw_ranks(ax, history, lines)
    return figure


def _position(bottom: float, height: float) -> tuple[float, float, float, float]:
    """Position of a chart as fractions of the figure; its lower edge and the figure's height are in inches."""
    width = LEFT + CHART_WIDTH + 0.15
    return (LEFT / width, bottom / height, CHART_WIDTH / width, CHART / height)


def consistency_values(history: Sequence[Observation]) -> list[float]:
    """One value for each observation, NaN where there is none."""
    values = []
    for observation in history:
        record = observation.get("consistency")
        values.append(math.nan if record is None else record["consistency"])
    return values


def effective_ranks(history: Sequence[Observation]) -> list[float]:
    """The effective rank of the whole network at each observation, NaN where there is none."""
    values = []
    for observation in history:
        record = observation.get("effective_rank")
        values.append(math.nan if record is None else record.by_scope.get("total", math.nan))
    return values


def _draw_consistency(
    ax: Axes, history: Sequence[Observation], values: Sequence[float], advice: StopAdvice | None
) -> None:
    finite = [value for value in values if math.isfinite(value)]
    title = "Consistency"
    if advice is not None:
        title += f"; best epoch {advice.best_epoch} by {advice.criterion}"
    style_axes(ax, title, epoch_label(history), "nats")
    ax.plot(epochs_of(history), values, "o-", color=BLUE, lw=2.6, ms=4, gid="consistency")
    best = observation_of(history, advice)
    if best is not None:
        value = values[next(place for place, observation in enumerate(history) if observation is best)]
        ax.plot([best.epoch], [value], "D", color=VERMILION, ms=9, mec="white", gid="best", zorder=4)
        ax.axvline(best.epoch, color=VERMILION, lw=1.4, ls=":", zorder=1)
    ax.set_ylim(bottom=min(0.0, *finite))
    set_epoch_axis(ax, history)
    widen_left(ax)


def _rank_lines(history: Sequence[Observation]) -> list[_Line]:
    """The effective rank where any observation has it, and one line for each τ of the last observation with any."""
    lines = []
    ranks = effective_ranks(history)
    finite = [rank for rank in ranks if math.isfinite(rank)]
    if finite:
        lines.append(_Line(f"effective rank, now {finite[-1]:.3g}", "effective_rank", ranks, [False] * len(ranks)))
    last = next((record for o in reversed(history) if (record := o.get("required_rank")) is not None), None)
    if last is None:
        return lines
    for required in last.ranks:
        found = [_required_rank(observation, required.tau) for observation in history]
        values = [math.nan if rank is None else rank.rank for rank in found]
        capped = [rank is not None and rank.is_lower_bound for rank in found]
        sign = "> " if required.is_lower_bound else ""
        label = f"rank@{100 * required.tau:.4g}%, now {sign}{required.rank:.3g}"
        lines.append(_Line(label, f"rank_at/{required.tau}", values, capped))
    return lines


def _required_rank(observation: Observation, tau: float) -> RequiredRank | None:
    """rank@τ of one observation, or None where it was not measured."""
    record = observation.get("required_rank")
    if record is not None:
        for required in record.ranks:
            if required.tau == tau:
                found: RequiredRank = required
                return found
    return None


def _draw_ranks(ax: Axes, history: Sequence[Observation], lines: Sequence[_Line]) -> None:
    style_axes(ax, "Ranks: how finely inputs are told apart", epoch_label(history), "rank (components)")
    epochs = epochs_of(history)
    is_capped = False
    for number, line in enumerate(lines):
        color = LINE_COLORS[number % len(LINE_COLORS)]
        marker = LINE_MARKERS[number % len(LINE_MARKERS)]
        style = f"{marker}-" if line.gid == "effective_rank" else f"{marker}--"
        ax.plot(epochs, line.values, style, color=color, lw=2.2, ms=5, gid=line.gid, label=line.label)
        if any(line.capped):
            is_capped = True
            values = [value if capped else math.nan for value, capped in zip(line.values, line.capped)]
            gid = f"capped/{line.gid.removeprefix('rank_at/')}"
            ax.plot(epochs, values, marker, color=color, mfc="white", ms=6, gid=gid, zorder=4)
    if is_capped:
        ax.plot([], [], "o", color=BLUE, mfc="white", ms=6, label="hollow: more than that")
    ax.set_ylim(bottom=0)
    set_epoch_axis(ax, history)
    widen_left(ax)
    legend_below(ax, 0.56, COLUMNS)

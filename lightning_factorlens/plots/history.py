"""The course of a run over its epochs: where the stop signal was lowest, and how finely inputs are told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightning_factorlens.loggers.text_reports import best_observation
from lightning_factorlens.plots.style import BLUE, GREEN, ORANGE, SMALL, VERMILION, new_figure, style_axes
from lightning_factorlens.results import Observation

#: Right of the last epoch, as a share of all epochs, for words.
ROOM = 0.36
#: Colours of rank@τ, one a τ.
TAUS = (ORANGE, VERMILION, GREEN)


def history_figure(history: Sequence[Observation]) -> Figure | None:
    """Consistency, its lowest epoch marked, above rank@τ and effective rank, all over epochs.

    Args:
        history: Observations of one run, oldest first; the last is the present one.

    Returns:
        The figure, or None for the first look, at which there is no course yet. Lines carry the ids ``consistency``,
        ``lowest``, ``effective_rank`` and ``rank_at/<tau>``.

    Raises:
        ValueError: When ``history`` is empty.
    """
    if not history:
        raise ValueError("history must hold at least one observation; found none")
    if len(history) < 2:
        return None
    best = best_observation(history)
    figure = new_figure(5.6 if best else 3.4)
    if best is None:
        _ranks(figure.add_axes((0.125, 0.175, 0.86, 0.72)), history)
        return figure
    _consistency(figure.add_axes((0.125, 0.585, 0.86, 0.355)), history, best)
    _ranks(figure.add_axes((0.125, 0.1, 0.86, 0.355)), history)
    return figure


def _consistency(ax: Axes, history: Sequence[Observation], best: Observation) -> None:
    last, low = history[-1].consistency, best.consistency or 0.0
    after = "" if last is None or last <= low else f", now {last:.2f}"
    style_axes(ax, f"Consistency: lowest at epoch {best.epoch}, {low:.2f}{after}", "", "nats, lower is better")
    values = [math.nan if o.consistency is None else o.consistency for o in history]
    ax.plot([o.epoch for o in history], values, "o-", color=BLUE, lw=2.6, ms=4, gid="consistency")
    ax.plot([best.epoch], [low], "D", color=VERMILION, ms=9, mec="white", gid="lowest", zorder=4)
    ax.axvline(best.epoch, color=VERMILION, lw=1.2, ls=":", zorder=1)
    ax.set_ylim(bottom=0)
    _epochs(ax, history)


def _ranks(ax: Axes, history: Sequence[Observation]) -> None:
    style_axes(ax, "Ranks: how finely inputs are told apart", "epoch", "rank")
    epochs = [o.epoch for o in history]
    lines = {"effective rank": [o.effective_rank.get("total", math.nan) for o in history]}
    looks = [("effective_rank", BLUE, "o-")]
    for k, required in enumerate(history[-1].required_ranks):
        ranks = [r.rank for o in history for r in o.required_ranks if r.tau == required.tau]
        if len(ranks) == len(epochs):
            lines[f"{'over ' if required.is_lower_bound else ''}rank@{100 * required.tau:.4g}%"] = ranks
            looks.append((f"rank_at/{required.tau}", TAUS[k % len(TAUS)], "s--"))
    for values, (gid, colour, style) in zip(lines.values(), looks):
        ax.plot(epochs, values, style, color=colour, lw=2.2, ms=4, gid=gid)
    ax.set_ylim(bottom=0)
    _epochs(ax, history)
    gap, lowest_free = 0.11 * ax.get_ylim()[1], 0.0
    for (words, values), (_, colour, _) in sorted(zip(lines.items(), looks), key=lambda line: line[0][1][-1]):
        if math.isfinite(values[-1]):  # words at the line's own end need no legend
            y = max(values[-1], lowest_free)
            ax.text(epochs[-1], y, f" {words}", color=colour, fontsize=SMALL, va="center", fontweight="bold")
            lowest_free = y + gap


def _epochs(ax: Axes, history: Sequence[Observation]) -> None:
    """Whole epochs, and room for words behind the last."""
    first, last = history[0].epoch, history[-1].epoch
    ax.set_xticks([t for t in MaxNLocator(8, integer=True).tick_values(first, last) if first <= t <= last])
    ax.set_xlim(right=last + ROOM * (last - first))

"""Concepts followed over several fits: one row each, with births, deaths, splits and merges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_factorlens.plots._legends import legend_below
from lightning_factorlens.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    SMALL,
    VERMILION,
    WIDTH,
    add_title,
    integer_locator,
    new_figure,
    style_axes,
    subsample,
)
from lightning_factorlens.plots.type_width import layer_label
from lightning_factorlens.results import ConceptTimeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Cosine from which a line is thick.
STEADY = 0.9
#: Inches: the title, a row, the smallest height of the chart, and the space below it and to both sides.
TOP = 0.65
ROW = 0.17
CHART = 1.2
BELOW = 1.3
LEFT = 0.65
RIGHT = 0.4
#: Largest number of names of fits.
MAX_LABELS = 7
#: Points (position of the fit, row) of lines, each line ended by NaN.
Points = list[tuple[float, float]]
END = (float("nan"), float("nan"))


def concept_timeline_figure(timeline: ConceptTimeline, title: str = "Concepts over the fits") -> Figure | None:
    """What becomes of every concept.

    Args:
        timeline: From `concepts.follow_concepts`.
        title: Title of the figure.

    Returns:
        The figure, or None before the second fit. Lines have the ids ``steady``, ``drifting``, ``splits``, ``merges``,
        ``births`` and ``deaths``.
    """
    if not timeline.changes:
        return None
    rows = timeline.rows()
    n_rows = 1 + max(max(row) for row in rows)
    chart = max(CHART, ROW * n_rows)
    height = TOP + chart + BELOW
    figure = new_figure(height)
    counts = dict.fromkeys(("birth", "death", "split", "merge"), 0)
    for event in timeline.events():
        counts[event.kind] += 1
    births, deaths, splits, merges = counts.values()
    add_title(figure, title, (f"births: {births}, deaths: {deaths}, splits: {splits}, merges: {merges}",))
    position = (LEFT / WIDTH, BELOW / height, 1 - (LEFT + RIGHT) / WIDTH, chart / height)
    ax = figure.add_axes(position)
    style_axes(ax, "", "", "row of a concept", size=SMALL)
    _draw_lines(ax, timeline, rows)
    _draw_ends(ax, timeline, rows)
    _name_fits(ax, timeline.labels)
    ax.set_ylim(n_rows - 0.4, -0.6)
    ax.yaxis.set_major_locator(integer_locator())
    legend_below(ax, 0.52, n_columns=2)
    return figure


def _draw_lines(ax: Axes, timeline: ConceptTimeline, rows: list[tuple[int, ...]]) -> None:
    """What continues, and what is split or merged."""
    steady: Points = []
    drifting: Points = []
    splits: Points = []
    merges: Points = []
    for fit, changes in enumerate(timeline.changes):
        before = rows[fit]
        after = rows[fit + 1]
        for concept, partner in enumerate(changes.previous):
            if changes.continues[concept]:
                kind = steady if changes.cosine[concept] >= STEADY else drifting
                kind += [(fit, before[partner]), (fit + 1, after[concept]), END]
        for whole, parts in changes.splits:
            for part in parts:
                splits += [(fit, before[whole]), (fit + 1, after[part]), END]
        for whole, parts in changes.merges:
            for part in parts:
                merges += [(fit, before[part]), (fit + 1, after[whole]), END]
    _draw(ax, splits, VERMILION, "--", "splits", "is split into", lw=1.4)
    _draw(ax, merges, GREEN, ":", "merges", "is merged into", lw=1.8)
    _draw(ax, steady, BLUE, "-", "steady", f"continues, cosine from {STEADY:g}", lw=3.0)
    _draw(ax, drifting, BLUE, "-", "drifting", "continues and drifts", lw=1.0)


def _draw_ends(ax: Axes, timeline: ConceptTimeline, rows: list[tuple[int, ...]]) -> None:
    """Births and deaths."""
    births: Points = []
    deaths: Points = []
    for fit, changes in enumerate(timeline.changes):
        births += [(fit + 1, rows[fit + 1][concept]) for concept in changes.births]
        deaths += [(fit, rows[fit][concept]) for concept in changes.deaths]
    _draw(ax, births, INK, "o", "births", "is new", ms=5, markerfacecolor="none")
    _draw(ax, deaths, GREY, "x", "deaths", "is gone after this", ms=6)


def _draw(ax: Axes, points: Points, color: str, style: str, gid: str, label: str, **options: Any) -> None:
    x, y = np.array(points or [END], dtype=float).T
    ax.plot(x, y, style, color=color, gid=gid, label=label, **options)


def _name_fits(ax: Axes, labels: tuple[str, ...]) -> None:
    """The names of some fits under the chart; a word that all begin with is the label of the axis."""
    words = {label.rpartition(" ")[0] for label in labels}
    word = words.pop() if len(words) == 1 else ""
    shown = subsample(range(len(labels)), MAX_LABELS)
    width = min((WIDTH - LEFT - RIGHT) / len(shown) - 0.1, 2 * RIGHT)
    names = [layer_label(labels[fit].removeprefix(word).strip(), width, SMALL) for fit in shown]
    ax.set_xticks(shown)
    ax.set_xticklabels(names, parse_math=False)
    ax.set_xlim(-0.3, len(labels) - 0.7)
    ax.set_xlabel(word or "fit", fontsize=SMALL, color=INK, parse_math=False)

"""Several runs or checkpoints in one chart: a quantity over epochs, error against rank, and α by depth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lightning_factorlens.plots._layer_axis import MAX_NAMES, NAME_WIDTH, name_layers
from lightning_factorlens.plots._legends import legend_below, widen_left
from lightning_factorlens.plots._records import epochs_of, layer_exponents, total_curve
from lightning_factorlens.plots.history import consistency_values, effective_ranks
from lightning_factorlens.plots.style import (
    LINE_COLORS,
    LINE_MARKERS,
    WIDTH,
    add_title,
    integer_locator,
    new_figure,
    style_axes,
)
from lightning_factorlens.plots.type_width import layer_label
from lightning_factorlens.results import Observation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches: height of a chart, above and below it, a line of the legend, and a layer's row.
CHART = 2.4
ABOVE = 0.4
BELOW = 0.62
LEGEND_LINE = 0.22
ROW = 0.24
Histories = Mapping[str, Sequence[Observation]]


def course_comparison_figure(histories: Histories) -> Figure | None:
    """The consistency of several runs over epochs, or their effective rank where a run lacks it.

    Args:
        histories: The observations of each run by its name, at most as many as there are colours.

    Returns:
        The figure, or None where neither is known at two epochs of a run. Lines have the runs' names as ids.
    """
    for values_of, label in ((consistency_values, "consistency (nats)"), (effective_ranks, "effective rank")):
        values = {name: values_of(history) for name, history in histories.items()}
        if any(sum(map(math.isfinite, series)) > 1 for series in values.values()):
            ax = _axes(len(histories), label.capitalize(), "epoch", label)
            for place, (name, history) in enumerate(histories.items()):
                _draw(ax, place, epochs_of(history), values[name], name)
            ax.xaxis.set_major_locator(integer_locator(8))
            return _finished(ax)
    return None


def rank_comparison_figure(histories: Histories) -> Figure | None:
    """Error against rank at the last observation of each run.

    Args:
        histories: See `course_comparison_figure`.

    Returns:
        The figure, or None where no observation has a reconstruction error. Lines have the runs' names as ids.
    """
    ax = _axes(len(histories), "Error against rank", "rank (components)", "relative error")
    ranks: set[int] = set()
    for place, (name, history) in enumerate(histories.items()):
        curves = [curve for observation in history if (curve := total_curve(observation, "reconstruction_error"))]
        if curves:
            _draw(ax, place, curves[-1].ranks, curves[-1].rel_error, name)
            ranks.update(curves[-1].ranks)
    if not ranks:
        return None
    ax.set_xscale("log", base=2)
    ax.set_xticks(sorted(ranks), labels=[str(rank) for rank in sorted(ranks)])
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    return _finished(ax)


def alpha_comparison_figure(histories: Histories) -> Figure | None:
    """α of every layer at the last observation of each run; layers of the same name share a row.

    Args:
        histories: See `course_comparison_figure`.

    Returns:
        The figure, or None where no layer has an α. Points have the runs' names as ids.
    """
    found: dict[str, dict[str, float]] = {}
    layers: dict[str, int] = {}
    for name, history in histories.items():
        measured = [exponents for observation in history if (exponents := layer_exponents(observation))]
        exponents = measured[-1] if measured else {}
        found[name] = {layer: exponent.alpha for layer, exponent in exponents.items()}
        for layer, alpha in found[name].items():
            if math.isfinite(alpha):
                layers.setdefault(layer, len(layers))
    if not layers:
        return None
    rows = ROW * max(min(len(layers), MAX_NAMES), 4)
    below = BELOW + LEGEND_LINE * len(histories)
    height = ABOVE + rows + below
    figure = new_figure(height)
    add_title(figure, "α of every layer")
    left = NAME_WIDTH + 0.2
    ax = figure.add_axes((left / WIDTH, below / height, 1 - (left + 0.2) / WIDTH, rows / height))
    style_axes(ax, "", "α", "")
    for place, (name, alphas) in enumerate(found.items()):
        values = [alphas.get(layer, math.nan) for layer in layers]
        _draw(ax, place, values, list(layers.values()), name, line="")
    name_layers(ax, list(layers))
    legend_below(ax, 0.56, left=-NAME_WIDTH)
    return figure


def _axes(n_runs: int, title: str, xlabel: str, ylabel: str) -> Axes:
    below = BELOW + LEGEND_LINE * n_runs
    height = ABOVE + CHART + below
    ax = new_figure(height).add_axes((0.78 / WIDTH, below / height, 1 - 0.95 / WIDTH, CHART / height))
    style_axes(ax, title, xlabel, ylabel)
    return ax


def _draw(ax: Axes, place: int, x: Sequence[float], y: Sequence[float], name: str, line: str = "-") -> None:
    color = LINE_COLORS[place % len(LINE_COLORS)]
    marker = LINE_MARKERS[place % len(LINE_MARKERS)]
    label = layer_label(name, WIDTH - 1.5)
    ax.plot(x, y, marker=marker, ls=line or "none", color=color, lw=2.2, ms=5, gid=name, label=label)


def _finished(ax: Axes) -> Figure:
    widen_left(ax)
    legend_below(ax, 0.56)
    figure: Figure = ax.figure.figure
    return figure

"""The hierarchies of a run over epochs: the classes' share of the signals, and the number of vector classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_factorlens.plots._legends import legend_below, widen_left
from lightning_factorlens.plots._records import check_history, epochs_of
from lightning_factorlens.plots.style import (
    INK,
    LINE_COLORS,
    LINE_MARKERS,
    WIDTH,
    add_title,
    epoch_label,
    new_figure,
    set_epoch_axis,
    style_axes,
    subsample,
    when,
)
from lightning_factorlens.plots.type_width import layer_labels
from lightning_factorlens.results import LayerHierarchies, Observation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of layers that are drawn, evenly spaced: as many as there are colours that can be told apart.
MAX_LAYERS = 5
#: Inches: height of a chart, of a line of the legend, and the spaces around the charts.
CHART = 1.7
LEGEND_LINE = 0.22
ABOVE = 1.25
BETWEEN = 0.98
BELOW = 0.62
#: What the two charts show: quantity, title, and label of the y axis.
CHARTS = (
    ("class_share", "How much of the signals tells classes apart", "share of variance"),
    ("vector_classes", "Classes of singular vectors", "number"),
)
#: How to read the charts.
CAUTION = "Untrained networks often have as many classes of vectors. The share"
CAUTION_END = "is near 0 where few classes are predicted: a rise may be only that."


def hierarchy_course_figure(history: Sequence[Observation]) -> Figure | None:
    """The between-class share of the signals, and the number of classes of singular vectors, by layer over epochs.

    Dashed lines are the 95 % quantiles of the same numbers with permuted classes; what lies below cannot be told from
    chance.

    Args:
        history: Observations of one run, oldest first. Their records ``semantic_hierarchy`` are drawn.

    Returns:
        The figure, or None where no observation has such a record with a layer. Lines have the ids
        ``class_share/<layer>``, ``vector_classes/<layer>``, and the same behind ``null_``.

    Raises:
        ValueError: ``history`` is empty.
    """
    check_history(history)
    measured = [observation for observation in history if _record(observation) is not None]
    last = _record(measured[-1]) if measured else None
    if last is None or not last.layers:
        return None
    layers = subsample([found.layer for found in last.layers], MAX_LAYERS)
    n_lines = -(-(len(layers) + 1) // 2)
    height = ABOVE + 2 * CHART + BETWEEN + BELOW + LEGEND_LINE * n_lines
    figure = new_figure(height)
    lines = [f"The classes are the model's own predictions, {last.predicted_classes} different ones.", CAUTION]
    add_title(figure, f"Signals of singular vectors, {when(measured[-1])}", [*lines, CAUTION_END])
    for number, (quantity, title, label) in enumerate(CHARTS):
        bottom = height - ABOVE - CHART - number * (CHART + BETWEEN)
        ax = figure.add_axes((0.75 / WIDTH, bottom / height, 1 - 0.95 / WIDTH, CHART / height))
        style_axes(ax, title, epoch_label(measured), label)
        _draw(ax, measured, layers, quantity)
        ax.set_ylim(bottom=0)
        set_epoch_axis(ax, measured)
        widen_left(ax)
    legend_below(ax, 0.56, 2)
    return figure


def _draw(ax: Axes, history: Sequence[Observation], layers: Sequence[str], quantity: str) -> None:
    """One line for every layer, and its null."""
    labels = layer_labels(layers, (WIDTH - 0.9) / 2 - 0.6)
    epochs = epochs_of(history)
    for layer, label, color, marker in zip(layers, labels, LINE_COLORS, LINE_MARKERS):
        null = _values(history, layer, f"null_{quantity}")
        ax.plot(epochs, null, "--", color=color, lw=1.4, gid=f"null_{quantity}/{layer}")
        values = _values(history, layer, quantity)
        ax.plot(epochs, values, f"{marker}-", color=color, lw=2.2, ms=5, gid=f"{quantity}/{layer}", label=label)
    ax.plot([], [], "--", color=INK, lw=1.4, label="permuted classes, 95 %")


def _record(observation: Observation) -> LayerHierarchies | None:
    record: LayerHierarchies | None = observation.get("semantic_hierarchy")
    return record


def _values(history: Sequence[Observation], layer: str, quantity: str) -> list[float]:
    """One number of a layer at every observation; NaN where it has none."""
    values = []
    for observation in history:
        record = _record(observation)
        value = math.nan
        for found in () if record is None else record.layers:
            if found.layer == layer:
                value = getattr(found, quantity)
        values.append(value)
    return values

"""An axis of layers: their names stand upright beside it, from the input above to the output below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_factorlens.plots._legends import legend, legend_below
from lightning_factorlens.plots.style import SIDE_MARGIN, SMALL, WIDTH, add_title, new_figure, style_axes, subsample
from lightning_factorlens.plots.type_width import layer_labels, wrap_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Largest number of layers that are named, evenly spaced.
MAX_NAMES = 12
#: Width of the names in inches.
NAME_WIDTH = 1.75
#: Inches: above the lines of the title, such a line, and a layer's row.
TOP = 0.5
LINE = 0.19
ROW = 0.28


def name_layers(ax: Axes, layers: Sequence[str]) -> None:
    """Makes the y axis one of layers, one unit apart.

    Args:
        ax: The axes, with `NAME_WIDTH` and the length of a tick free to their left.
        layers: Names of the layers, from input to output.
    """
    positions = subsample(range(len(layers)), MAX_NAMES)
    labels = layer_labels([layers[position] for position in positions], NAME_WIDTH - 0.1, SMALL - 1)
    ax.set_yticks(positions)
    ax.set_yticklabels(labels, fontsize=SMALL - 1, parse_math=False)
    ax.set_ylim(len(layers) - 0.4, -0.6)


def layer_axes(
    title: str, explanation: str, layers: Sequence[str], xlabel: str, below: float, ax: Axes | None = None
) -> Axes:
    """Axes with a row for each layer.

    Args:
        title: The title.
        explanation: What is shown, below the title.
        layers: Names of the layers, from input to output.
        xlabel: Label of the x axis.
        below: Inches that are free below the axes.
        ax: A user's axes, which get the title without the explanation; None for axes in a new figure.
    """
    if ax is not None:
        style_axes(ax, title, xlabel, "", size=SMALL)
        name_layers(ax, layers)
        return ax
    lines = wrap_text(explanation, WIDTH - 2 * SIDE_MARGIN)
    rows_height = ROW * max(len(layers), 3)
    height = TOP + LINE * len(lines) + rows_height + below
    figure = new_figure(height)
    add_title(figure, title, lines)
    left = NAME_WIDTH + 0.2
    ax = figure.add_axes((left / WIDTH, below / height, 1 - (left + 0.25) / WIDTH, rows_height / height))
    style_axes(ax, "", xlabel, "", size=SMALL)
    name_layers(ax, layers)
    return ax


def layer_legend(ax: Axes, is_new_figure: bool) -> None:
    """The legend of `layer_axes`: below new axes, and inside of a user's, below which there may be others."""
    if is_new_figure:
        legend_below(ax, 0.45, n_columns=2, left=-NAME_WIDTH - 0.1, fontsize=SMALL - 1)
    else:
        legend(ax, fontsize=SMALL - 1, facecolor="white", framealpha=0.8)

"""Legends and colour bars, outside of the data, so that nothing runs through their text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_factorlens.plots.style import INK, LABEL, SMALL, figure_of, title_size
from lightning_factorlens.plots.type_width import text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend


def legend(ax: Axes, **options: object) -> Legend:
    """The common legend, without a frame; outside of the data unless the options say otherwise."""
    defaults: dict[str, object] = {
        "loc": "best",
        "fontsize": SMALL,
        "labelcolor": INK,
        "facecolor": "none",
        "edgecolor": "none",
    }
    drawn = ax.legend(**(defaults | options))
    drawn.get_title().set_color(INK)
    for text in drawn.get_texts():
        text.set_parse_math(False)
    return drawn


def legend_below(ax: Axes, top: float, n_columns: int = 1, left: float = 0.0, **options: object) -> Legend:
    """A legend under the axes.

    Args:
        ax: The axes, whose height must be known.
        top: Distance between the lower edge of the axes and the legend, in inches.
        n_columns: Number of its columns.
        left: Distance of its left edge from that of the axes, in inches; negative to the left.
        **options: Further options of matplotlib's legend.
    """
    dpi = figure_of(ax).dpi
    corner = (left * dpi / ax.bbox.width, -top * dpi / ax.bbox.height)
    placed = {"loc": "upper left", "bbox_to_anchor": corner, "borderaxespad": 0.0, "borderpad": 0.0}
    return legend(ax, **(placed | {"ncols": n_columns, "columnspacing": 1.2, "handlelength": 1.8} | options))


def scale_bar(figure: Figure, position: tuple[float, float, float, float], signed: bool, label: str) -> None:
    """A horizontal colour bar of the scale of `tiles.draw_tile`.

    Args:
        figure: The figure.
        position: Left, bottom, width and height of the bar, as fractions of the figure.
        signed: Whether the scale runs from −1 to 1; otherwise from 0.
        label: What 1 means, with its unit.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    from lightning_factorlens.plots.tiles import color_map

    mappable = ScalarMappable(Normalize(-1 if signed else 0, 1), color_map(signed))
    ax = figure.add_axes(position)
    bar = figure.colorbar(mappable, cax=ax, orientation="horizontal", ticks=[-1, 0, 1] if signed else [0, 1])
    ax.set_label("<colorbar>")  # as matplotlib names the axes that it makes for one
    bar.outline.set_visible(False)
    ax.tick_params(colors=INK, labelsize=SMALL - 1, length=2, pad=1)
    ax.text(1.02, 0.5, label, transform=ax.transAxes, va="center", fontsize=SMALL - 1, color=INK)


def widen_left(ax: Axes) -> None:
    """Moves the left edge of the axes to the right where the numbers of the y axis are too wide; at the end of a chart.

    Args:
        ax: Axes in a figure of their own, with their limits.
    """
    numbers = ax.yaxis.get_major_formatter().format_ticks(list(ax.get_yticks()))
    size = float(ax.yaxis.get_tick_params()["labelsize"])
    widest = max((text_width(number, size) for number in numbers), default=0.0)
    label = 1.5 * float(ax.yaxis.label.get_fontsize()) / 72 if ax.get_ylabel() else 0.0
    width = figure_of(ax).get_size_inches()[0]
    missing = (widest + label + 0.12) / width - ax.get_position().x0
    if missing > 0:
        box = ax.get_position()
        ax.set_position((box.x0 + missing, box.y0, box.width - missing, box.height))
        title = ax.get_title(loc="left")
        ax.set_title(title, loc="left", y=1.0, fontsize=title_size(ax, title, LABEL + 1), color=INK, parse_math=False)

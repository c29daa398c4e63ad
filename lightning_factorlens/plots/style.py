"""Sizes, colours and axes common to all figures, and the pixels of a figure.

Only matplotlib's object-oriented interface is used: no pyplot, no backend, no global setting. Every colour and size is
stated and the background is white, so that neither a user's style sheet nor a dark page makes a figure unreadable. The
colours are those of Okabe and Ito (2008), "Color universal design", which colour-blind readers can distinguish.

matplotlib is slow to import, and a program may use this package without drawing anything: every function here and in
the other modules imports it when it draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lightning_factorlens.results._text import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
ORANGE = "#E69F00"
INK = "#222222"
GREY = "#767676"
PALE = "#DDDDDD"
#: Largest number of past curves behind the present one.
MAX_PAST = 12
#: Width of a figure in inches, and its pixels per inch. TensorBoard shows images 350 pixels wide: it takes every second
#: pixel of an image 700 pixels wide, and would blur any other width unevenly.
WIDTH = 5.6
DPI = 125
#: Space in inches between tiles or headings and the left and right edges of a figure.
SIDE_MARGIN = 0.12
#: Sizes of type in points; they can be read in TensorBoard's small images too.
TITLE = 13.0
LABEL = 12.0
SMALL = 10.5

T = TypeVar("T")


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure on opaque white; height and width in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def figure_of(ax: Axes) -> Figure:
    """The figure that some axes belong to, also where they lie in one of its subfigures."""
    figure: Figure = ax.figure.figure  # a subfigure's ``figure`` is the figure around it, a figure's is itself
    return figure


def integer_locator(max_ticks: int = 10) -> MaxNLocator:
    """At most so many intervals between ticks at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(max_ticks, integer=True)


def style_axes(ax: Axes, title: str, xlabel: str = "", ylabel: str = "", size: float = LABEL) -> None:
    """The common style. Names come from the user, so dollar signs in them are not mathematics."""
    ax.set_facecolor("white")
    # Without a stated position matplotlib lays the whole panel out once more to find one.
    ax.set_title(title, loc="left", y=1.0, fontsize=size + 1, color=INK, parse_math=False)
    ax.set_xlabel(xlabel, fontsize=size, color=INK)
    ax.set_ylabel(ylabel, fontsize=size, color=INK)
    ax.tick_params(which="both", colors=INK, labelsize=size - 1)
    ax.grid(True, which="major", color=PALE, lw=0.6, ls="-")
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)


def legend(ax: Axes, **options: object) -> None:
    """The common legend: white and without a frame, so that no line runs through its text."""
    defaults: dict[str, object] = {
        "loc": "best",
        "fontsize": SMALL,
        "labelcolor": INK,
        "facecolor": "white",
        "edgecolor": "none",
    }
    drawn = ax.legend(**(defaults | options))
    drawn.get_title().set_color(INK)


def add_title(figure: Figure, title: str, lines: Sequence[str] = ()) -> None:
    """A title and lines of explanation at the top of a figure."""
    width, height = figure.get_size_inches()
    left = SIDE_MARGIN / width
    figure.text(left, 1 - 0.28 / height, title, fontsize=TITLE, color=INK, parse_math=False)
    for number, line in enumerate(lines):
        y = 1 - (0.5 + 0.19 * number) / height
        figure.text(left, y, line, fontsize=SMALL, color=INK, parse_math=False)


def layer_label(name: str, max_length: int) -> str:
    """Name of a layer, shortened; a model that is a single layer has the empty name."""
    return shorten(name, max_length) or "(the model)"


def past_opacity(index: int, n_past: int) -> float:
    """Opacity of the past curve at ``index`` of ``n_past``: later ones are darker."""
    return 0.12 + 0.38 * (index + 1) / n_past


def subsample(items: Sequence[T], max_items: int) -> list[T]:
    """At most ``max_items`` of the items, evenly spaced, the first and the last among them.

    Args:
        items: The items, in order.
        max_items: Largest number of them, at least 2.

    Example:
        >>> subsample(range(100), 3)
        [0, 50, 99]
    """
    if len(items) <= max_items:
        return list(items)
    last = len(items) - 1
    return [items[round(number * last / (max_items - 1))] for number in range(max_items)]


def to_array(figure: Figure) -> np.ndarray:
    """The figure's pixels, uint8, shape (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def to_png(pixels: np.ndarray) -> BytesIO:
    """An image as a PNG file in memory.

    Args:
        pixels: uint8, shape (height, width, 3).
    """
    from matplotlib.image import imsave

    file = BytesIO()
    imsave(file, pixels, format="png")
    file.seek(0)
    return file

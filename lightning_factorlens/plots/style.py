"""Sizes, colours and axes common to all figures, and the pixels of a figure.

Only matplotlib's object-oriented interface is used: no backend, no global setting, and no pyplot, but for the figures
that a user asks for by `plot`. Every colour and size is stated, so that a user's style sheet does not make a figure
unreadable.

A figure does not know the page that it will be shown on. Its background is white that lets some of the page through:
on a white page it is white, on the dark pages of TensorBoard (#303030) a grey card instead of a white slab. Text has a
contrast of at least 4.5 on both and lines of at least 3, as WCAG 2.1 asks for. The colours are those of Okabe and Ito
(2008), "Color universal design", which colour-blind readers can distinguish, darkened for the grey card.

matplotlib is slow to import, and a program may use this package without drawing anything: every function here and in
the other modules imports it when it draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lightning_factorlens.plots.figure_maker import figure_maker
from lightning_factorlens.plots.type_width import SMALL, fitting_size
from lightning_factorlens.results import Observation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

#: Background of every figure: white, with the opacity that is left to the page.
CARD = (1.0, 1.0, 1.0, 0.65)
BLUE = "#005E96"
VERMILION = "#A64500"
GREEN = "#00664A"
PURPLE = "#8E3F7A"
BROWN = "#7A5200"
INK = "#111111"
GREY = "#505050"
#: Lines of a grid: darker than the background by the same fraction on every page.
GRID = (0.0, 0.0, 0.0, 0.14)
#: Colours of lines that are told apart by a legend, and their markers.
LINE_COLORS = (BLUE, VERMILION, GREEN, PURPLE, BROWN, INK)
LINE_MARKERS = ("o", "s", "^", "D", "v", "P")
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

T = TypeVar("T")


def new_figure(height: float, width: float = WIDTH, **options: Any) -> Figure:
    """An empty figure on the common background, which a notebook shows where it is the last value of a cell.

    Args:
        height: In inches.
        width: In inches.
        **options: Further options of matplotlib's Figure.
    """
    from lightning_factorlens.plots._notebook_figure import NotebookFigure

    make: Callable[..., Figure] = figure_maker() or NotebookFigure
    return make(figsize=(width, height), dpi=DPI, facecolor=CARD, **options)


def figure_of(ax: Axes) -> Figure:
    """The figure that some axes belong to, also where they lie in one of its subfigures."""
    figure: Figure = ax.figure.figure  # a subfigure's ``figure`` is the figure around it, a figure's is itself
    return figure


def fit_title(ax: Axes) -> None:
    """Makes the title above some axes end before their right edge, beside which a user may have other axes."""
    title = ax.get_title(loc="left")
    width = ax.bbox.width / figure_of(ax).dpi
    size = min(fitting_size(line, width, LABEL + 1) for line in title.split("\n"))
    ax.set_title(title, loc="left", y=1.0, fontsize=size, color=INK, parse_math=False)


def integer_locator(max_ticks: int = 10) -> MaxNLocator:
    """At most so many intervals between ticks at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(max_ticks, integer=True)


def style_axes(ax: Axes, title: str, xlabel: str = "", ylabel: str = "", size: float = LABEL) -> None:
    """The common style. Names come from the user, so dollar signs in them are not mathematics."""
    ax.set_facecolor("none")
    # Without a stated position matplotlib lays the whole panel out once more to find one.
    ax.set_title(title, loc="left", y=1.0, fontsize=title_size(ax, title, size + 1), color=INK, parse_math=False)
    ax.set_xlabel(xlabel, fontsize=size, color=INK)
    ax.set_ylabel(ylabel, fontsize=size, color=INK)
    ax.tick_params(which="both", colors=INK, labelsize=size - 1)
    ax.grid(True, which="major", color=GRID, lw=0.8, ls="-")
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)


def title_size(ax: Axes, title: str, size: float) -> float:
    """The size of the type at which a title above some axes ends before the right edge of the figure."""
    free = (1.0 - ax.get_position().x0) * figure_of(ax).get_size_inches()[0] - SIDE_MARGIN
    return min(fitting_size(line, free, size) for line in title.split("\n"))


def add_title(figure: Figure, title: str, lines: Sequence[str] = ()) -> None:
    """A title and lines of explanation at the top of a figure."""
    width, height = figure.get_size_inches()
    left = SIDE_MARGIN / width
    size = fitting_size(title, width - 2 * SIDE_MARGIN, TITLE)
    figure.text(left, 1 - 0.28 / height, title, fontsize=size, color=INK, parse_math=False)
    for number, line in enumerate(lines):
        y = 1 - (0.5 + 0.19 * number) / height
        figure.text(left, y, line, fontsize=SMALL, color=INK, parse_math=False)


def when(observation: Observation) -> str:
    """The epoch and the step of an observation: loggers have steps on their x axis.

    Example:
        >>> when(Observation(epoch=30, step=569, records={}))
        'epoch 30, step 569'
    """
    return f"epoch {observation.epoch}, step {observation.step}"


def epoch_label(history: Sequence[Observation]) -> str:
    """Label of an axis over epochs, with the step of the last one.

    Example:
        >>> epoch_label([Observation(epoch=30, step=569, records={})])
        'epoch (30 is step 569)'
    """
    return f"epoch ({history[-1].epoch} is step {history[-1].step})"


def set_epoch_axis(ax: Axes, history: Sequence[Observation]) -> None:
    """Ticks at whole epochs from the first to the last, also where there is a single one or few have a value."""
    ax.xaxis.set_major_locator(integer_locator(8))
    first = history[0].epoch
    last = history[-1].epoch
    if first == last:
        ax.set_xlim(first - 1, last + 1)
    else:
        low, high = ax.get_xlim()
        ax.set_xlim(min(low, first), max(high, last))


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
    """The figure's pixels with their opacity, uint8, shape (height, width, 4)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def to_png(pixels: np.ndarray) -> BytesIO:
    """An image as a PNG file in memory.

    Args:
        pixels: uint8, shape (height, width, 3 or 4).
    """
    from matplotlib.image import imsave

    file = BytesIO()
    imsave(file, pixels, format="png")
    file.seek(0)
    return file


def soften(pixels: np.ndarray) -> np.ndarray:
    """Replaces every pixel by the mean of 2 × 2, for viewers that show every second pixel.

    TensorBoard's page "Images" does so with images 700 pixels wide: without this step an "i" loses its dot, or its gap.

    Args:
        pixels: uint8, shape (height, width, 4), with the opacity last, or (height, width, 3).

    Returns:
        uint8, shape (height, width, 4).
    """
    if pixels.shape[2] == 3:
        pixels = np.pad(pixels, ((0, 0), (0, 0), (0, 1)), constant_values=255)
    values = pixels.astype(np.float32)
    values[..., :3] *= values[..., 3:]
    values[:-1] += values[1:]
    values[-1] *= 2
    values[:, :-1] += values[:, 1:]
    values[:, -1] *= 2
    opacity = values[..., 3:]
    values[..., :3] /= np.maximum(opacity, 1.0)
    values[..., 3:] /= 4
    return np.rint(values).astype(np.uint8)

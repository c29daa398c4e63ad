"""What all figures share: the look, sizes that survive a thumbnail, tiles, and pixels out of a figure.

Matplotlib's object-oriented interface only: no pyplot, no backend, no global setting, and every colour and size
stated, so that neither a user's style sheet nor a dark page makes a figure unreadable: they bring their own white.
Colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
INK, GREY, PALE = "#222222", "#767676", "#DDDDDD"
#: Past curves drawn behind the present one.
PAST = 12
#: Inches, and pixels an inch. TensorBoard shows a picture 350 pixels wide, and takes every other pixel of one of 700
#: where it would blur any other width unevenly; the type below, in points, is still read there.
WIDTH, DPI = 5.6, 125
TITLE, LABEL, SMALL = 13.0, 12.0, 10.5
#: Between neighbouring tiles, as a share of one.
SEAM = 0.04

T = TypeVar("T")


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure on opaque white; height and width in inches."""
    return Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def style_axes(ax: Axes, title: str, xlabel: str = "", ylabel: str = "", size: float = LABEL) -> None:
    """The common look. Names come from the user, so dollar signs in them are not mathematics."""
    ax.set_facecolor("white")
    # A place of its own: matplotlib would lay the whole panel out once more to find one.
    ax.set_title(title, loc="left", y=1.0, fontsize=size + 1, color=INK, parse_math=False)
    ax.set_xlabel(xlabel, fontsize=size, color=INK)
    ax.set_ylabel(ylabel, fontsize=size, color=INK)
    ax.tick_params(which="both", colors=INK, labelsize=size - 1)
    ax.grid(True, which="major", color=PALE, lw=0.6, ls="-")
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)


def legend(ax: Axes, **where: object) -> None:
    """The common legend: on white without a frame, so that no line runs through its words."""
    look: dict[str, object] = {"loc": "best", "fontsize": SMALL, "labelcolor": INK}
    drawn = ax.legend(**look | {"facecolor": "white", "edgecolor": "none"} | where)
    drawn.get_title().set_color(INK)


def add_title(figure: Figure, title: str, words: Sequence[str] = ()) -> None:
    """Title and lines of explanation at the top of a figure without axes of its own."""
    width, height = figure.get_size_inches()
    figure.text(0.12 / width, 1 - 0.28 / height, title, fontsize=TITLE, color=INK, parse_math=False)
    for k, line in enumerate(words):
        y = 1 - (0.5 + 0.19 * k) / height
        figure.text(0.12 / width, y, line, fontsize=SMALL, color=INK, parse_math=False)


def subsample(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of the items, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def tile_axes(figure: Figure, top: float, across: float, down: float) -> Axes:
    """Axes for tiles: one unit a tile, y downwards, ``top`` inches left for a headline."""
    width, height = figure.get_size_inches()
    ax = figure.add_axes((0.12 / width, 0.06 / height, 1 - 0.24 / width, 1 - (top + 0.06) / height))
    ax.set(xlim=(0, across), ylim=(down, 0), aspect="equal", anchor="NW")
    ax.axis("off")
    return ax


def draw_tile(
    ax: Axes,
    pixels: np.ndarray,
    x: float,
    y: float,
    bound: float,
    gid: str,
    tall: float = 1.0,
    signed: bool | None = None,
) -> None:
    """One picture at (x, y), one tile wide and ``tall`` high, its pixels as given.

    Non-negative values run from 0 to ``bound`` (dark to bright), signed ones from −bound (violet) over white to bound
    (brown); missing ones (NaN) are grey; arrays with a last axis of three are colours.
    """
    signed = bool((pixels < 0).any()) if signed is None else signed
    image = AxesImage(
        ax,
        cmap=(_SIGNED if signed else _POSITIVE),
        extent=(x, x + 1 - SEAM, y + (1 - SEAM) * tall, y),
        interpolation="nearest",
        gid=gid,
    )
    image.set_data(pixels)
    image.set_clim(-bound if signed else 0, bound)
    ax.add_image(image)


_POSITIVE = colormaps["viridis"].with_extremes(bad=PALE)
_SIGNED = colormaps["PuOr_r"].with_extremes(bad=PALE)


def to_array(figure: Figure) -> np.ndarray:
    """The figure's pixels, uint8, shape (height, width, 3)."""
    agg = FigureCanvasAgg(figure)
    agg.draw()
    return np.asarray(agg.buffer_rgba())[..., :3].copy()

"""Figures and arrays of pixels as images inside the page."""

from __future__ import annotations

import re
from base64 import b64encode
from io import BytesIO, StringIO
from typing import TYPE_CHECKING

from lightning_factorlens.plots.style import BLUE, BROWN, GREEN, GREY, INK, PURPLE, VERMILION
from lightning_factorlens.report.parts import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: CSS pixels of an inch of a figure: a chart of 5.6 inches is 672 pixels wide where there is room.
PIXELS_PER_INCH = 120
#: A drawing of more bytes is stored as pixels: one of 200 layers over 1,000 epochs has megabytes of lines.
MAX_DRAWING = 150_000
#: The colours of the figures, and those that have the same contrast on a dark page: at least 4.5 for type.
DARK_COLORS = {
    INK: "#ececec",
    GREY: "#b8b8b8",
    BLUE: "#6fb7ea",
    VERMILION: "#f0995c",
    GREEN: "#5fc9a8",
    PURPLE: "#d99ccb",
    BROWN: "#d6ad6a",
    "#ffffff": "#33363a",
    "#000000": "#ffffff",
}
#: Pixels per inch of a figure that is stored as pixels.
DPI = 160


def figure_picture(figure: Figure, alt: str, caption: str = "") -> Picture:
    """A figure as an image: as a drawing, or as pixels where these take less space.

    Args:
        figure: The figure.
        alt: What it shows, for a reader who does not see it.
        caption: A line below it.
    """
    width, height = figure.get_size_inches()
    drawing = _drawing(figure)
    if len(drawing) <= MAX_DRAWING:
        source = _data_uri("image/svg+xml", drawing)
    else:
        source = _data_uri("image/png", _pixels(figure))
    return Picture(source, alt, caption, round(width * PIXELS_PER_INCH), round(height * PIXELS_PER_INCH))


def _drawing(figure: Figure) -> bytes:
    """The figure as SVG, without the date and with text as outlines, which need no font."""
    from matplotlib import rc_context

    file = StringIO()
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "factorlens"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    if "<image" in text:  # the colours of pictures mean something
        return text.encode()
    return _with_dark_colours(text).encode()


def _with_dark_colours(drawing: str) -> str:
    """A drawing whose lines and type are light where the reader's page is dark."""
    light = dark = ""
    for color, replacement in DARK_COLORS.items():
        name = f"--c{color[1:]}"
        drawing = re.sub(f"{color}(?![0-9a-f])", f"var({name})", drawing, flags=re.IGNORECASE)
        light += f"{name}: {color}; "
        dark += f"{name}: {replacement}; "
    style = f":root {{{light}}} @media (prefers-color-scheme: dark) {{ :root {{{dark}}} }}"
    return drawing.replace("</style>", f" {style}</style>", 1)


def _pixels(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}"

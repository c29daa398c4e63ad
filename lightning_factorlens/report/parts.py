"""What a section of a report consists of. The template turns it into HTML and escapes every text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Attributes:
        text: Plain text; nothing in it is read as HTML.
        strong: Words before it in bold, e.g. a verdict.
    """

    text: str
    strong: str = ""


@dataclass(frozen=True)
class Table:
    """A table with titles above its columns; the first cell of each row is the row's title.

    Attributes:
        caption: What it shows.
        header: The titles of the columns.
        rows: The cells of each row, as texts.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """An image.

    Attributes:
        source: Its data URI; see `figure_picture`.
        alt: What it shows, for a reader who does not see it.
        caption: A line below it; empty for none.
        width: Its width in CSS pixels where there is room.
        height: Its height in CSS pixels at that width.
        is_pixelated: Whether its pixels are shown as squares, as for enlarged small images.
        is_wide: Whether it scrolls sideways instead of shrinking where there is no room, as for diagrams of small type.
    """

    source: str
    alt: str
    caption: str = ""
    width: int = 0
    height: int = 0
    is_pixelated: bool = False
    is_wide: bool = False


@dataclass(frozen=True)
class Gallery:
    """Small images beside each other.

    Attributes:
        pictures: The images, each with its caption.
    """

    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Group:
    """Parts under a heading of their own.

    Attributes:
        title: The heading.
        parts: The parts.
        is_folded: Whether they are shown only after a click on the heading, as for long tables.
    """

    title: str
    parts: Sequence[Part]
    is_folded: bool = False


Part = Text | Table | Picture | Gallery | Group

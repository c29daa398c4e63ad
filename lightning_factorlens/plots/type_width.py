"""Names and sentences that fit into a given width, measured with the font that draws them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

#: Size of small type in points.
SMALL = 10.5
#: Characters that stand for the middle of a shortened name.
ELLIPSIS = "…"


def layer_label(name: str, width: float, size: float = SMALL, bold: bool = False) -> str:
    """Name of a layer, shortened in its middle, since both ends distinguish layers.

    Args:
        name: The name. A model that is a single layer has the empty name. Characters that the font lacks are written
            by their numbers.
        width: Largest width in inches.
        size: Size of the type in points.
        bold: Whether it is bold.

    Returns:
        The label, of at least three characters.

    Example:
        >>> layer_label("", 2.0), layer_label("layer1.0.conv1", 2.0), layer_label("層", 2.0)
        ('(the model)', 'layer1.0.conv1', 'U+5C64')
        >>> layer_label("backbone.stages.3.blocks.17.attention.projection", 2.0)
        'backbone.sta…n.projection'
    """
    label = drawable(name or "(the model)")
    kept = len(label)
    shortened = label
    while text_width(shortened, size, bold) > width and kept > 2:
        kept -= 1
        head = kept // 2
        shortened = f"{label[:head]}{ELLIPSIS}{label[len(label) - (kept - head) :]}"
    return shortened


def layer_labels(names: Sequence[str], width: float, size: float = SMALL) -> list[str]:
    """Names of several layers, shortened so that they remain different where the width allows it.

    Names that would be equal after `layer_label` differ in their middle: of these the end is kept.

    Args:
        names: The names.
        width: See `layer_label`.
        size: See `layer_label`.

    Returns:
        One label for each name.

    Example:
        >>> layer_labels(["encoder.layers.0.self_attn.q", "encoder.layers.1.self_attn.q", "head"], 1.7)
        ['…r.layers.0.self_attn.q', '…r.layers.1.self_attn.q', 'head']
    """
    labels = [layer_label(name, width, size) for name in names]
    distinct = []
    for name, label in zip(names, labels):
        others = [other for other, taken in zip(names, labels) if taken == label and other != name]
        distinct.append(_label_of_end(name, width, size) if others else label)
    return distinct


def _label_of_end(name: str, width: float, size: float) -> str:
    """The end of a name, as much as the width allows."""
    label = drawable(name)
    kept = len(label) - 1
    while kept > 2 and text_width(f"{ELLIPSIS}{label[-kept:]}", size) > width:
        kept -= 1
    return f"{ELLIPSIS}{label[-kept:]}"


def fitting_size(text: str, width: float, size: float) -> float:
    """The size of the type, in points, at which one line fits into a width.

    Args:
        text: The line.
        width: In inches.
        size: Largest size in points.

    Example:
        >>> fitting_size("short", 5.0, 13.0)
        13.0
    """
    return min(size, size * width / text_width(text, size)) if text else size


def wrap_text(text: str, width: float, size: float = SMALL) -> list[str]:
    """Lines of at most a width, broken between words.

    Args:
        text: The text.
        width: Largest width in inches; a single word that is wider is shortened in its middle.
        size: Size of the type in points.
    """
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(layer_label(word, width, size))
    return lines


def drawable(text: str) -> str:
    """The text with characters that the font lacks as ``U+0000``: it would draw boxes and warn of each."""
    known = _font().get_char_index
    characters = []
    for character in text:
        characters.append(character if known(ord(character)) else f"U+{ord(character):04X}")
    return "".join(characters)


@lru_cache(4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of one line in inches.

    Args:
        text: The line.
        size: Size of the type in points.
        bold: Whether it is bold.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    weight = "bold" if bold else "normal"
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size, weight=weight), False)
    return float(width) / 72


@cache
def _font() -> FT2Font:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return get_font(findfont(FontProperties()))

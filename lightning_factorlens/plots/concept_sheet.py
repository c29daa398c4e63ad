"""A contact sheet of concepts: what the clearest ones look like, and how clear and stable they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lightning_factorlens.plots._pictures import LOST, in_words, named, picture_height, stability_in_words
from lightning_factorlens.plots.latent_images import to_rgb
from lightning_factorlens.plots.style import INK, SIDE_MARGIN, SMALL, WIDTH, add_title, figure_of
from lightning_factorlens.plots.tiles import draw_tile, tile_axes, tile_inches
from lightning_factorlens.plots.type_width import wrap_text
from lightning_factorlens.results import ConceptCard, ConceptPage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of concepts, and of the top images of each.
MAX_CONCEPTS = 10
MAX_IMAGES = 10
#: Space between latent image and top images, in tiles.
GAP = 0.2
ACROSS = 1 + GAP + MAX_IMAGES
#: Height in inches of a caption, of a line of the title and of the space above these lines.
CAPTION = 0.25
LINE = 0.19
TOP = 0.5
#: Right edges of the columns of numbers, in inches from the right edge of the tiles, and their headings.
COLUMNS = ((1.72, "clarity"), (0.84, "agreement"), (0.0, "stability"))


def concept_sheet_figure(page: ConceptPage, title: str = "Concepts") -> Figure | None:
    """The ten clearest concepts: latent image, top images, clarity, agreement and stability.

    Args:
        page: From `concepts.concept_page`.
        title: The title.

    Returns:
        The figure, or None for a page without concepts. Images have the ids ``latent/<concept>`` and
        ``top/<concept>/<position>/<image>``. Where the inputs are not images, the positions of the top samples are
        written.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> from lightning_factorlens.concepts import concept_page
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> page = concept_page(FactorLens(model).concepts(torch.rand(9, 1, 5, 5), rank=2))
        >>> figure = concept_sheet_figure(page)
    """
    shown = page.cards[:MAX_CONCEPTS]
    if not shown:
        return None
    tile = tile_inches(None, ACROSS)
    height = picture_height(page) or LINE / tile
    stride = height + (CAPTION + 0.06) / tile
    lines = _explanation(page, len(shown))
    ax = tile_axes(ACROSS, (CAPTION / tile) + len(shown) * stride, TOP + LINE * len(lines))
    add_title(figure_of(ax), title, lines)
    for inches, heading in COLUMNS:
        ax.text(ACROSS - inches / tile, CAPTION / tile, heading, fontsize=SMALL, color=INK, ha="right", va="bottom")
    for row, card in enumerate(shown):
        top = (2 * CAPTION) / tile + row * stride
        _draw_caption(ax, card, top - 0.04, tile)
        _draw_images(ax, card, top, height)
    return figure_of(ax)


def _explanation(page: ConceptPage, n_shown: int) -> list[str]:
    concepts = f"all {n_shown} concepts"
    if n_shown < len(page.cards):
        concepts = f"the {n_shown} clearest of {len(page.cards)} concepts"
    has_pictures = page.cards[0].pictures is not None
    shown = "latent image, then the top images" if has_pictures else "positions of the top samples"
    text = f"{concepts}, clearest first: {shown}"
    if page.named_by:
        text += f"; name: the class of most weight by {page.named_by} (its share)"
    if any(card.is_stable is False for card in page.cards[:n_shown]):
        text += f"; {LOST}: not found again by another fit"
    return wrap_text(text, WIDTH - 2 * SIDE_MARGIN)


def _draw_caption(ax: Axes, card: ConceptCard, y: float, tile: float) -> None:
    """The name of a concept, and its numbers in columns."""
    ax.text(0, y, named(card, 3.0), fontsize=SMALL, color=INK, va="bottom", parse_math=False)
    weight = "bold" if card.is_stable is False else "normal"
    values = (in_words(card.clarity), in_words(card.agreement), stability_in_words(card))
    for (inches, heading), value in zip(COLUMNS, values):
        x = ACROSS - inches / tile
        text = ax.text(x, y, value, fontsize=SMALL, color=INK, ha="right", va="bottom")
        if heading == "stability":
            text.set_fontweight(weight)


def _draw_images(ax: Axes, card: ConceptCard, y: float, height: float) -> None:
    """The latent image and the top images of a concept, or the positions of its top samples."""
    positions = card.top_images.tolist()
    if card.pictures is None:
        text = ", ".join(map(str, positions[:MAX_IMAGES]))
        ax.text(0.1, y - 0.04, text, fontsize=SMALL - 1, color=INK, va="top")
        return
    colour: np.ndarray = card.pictures.colour.numpy()
    draw_tile(ax, colour, 0, y, 1.0, f"latent/{card.number}", height=height)
    for position, image in enumerate(card.pictures.top[:MAX_IMAGES]):
        gid = f"top/{card.number}/{position}/{positions[position]}"
        draw_tile(ax, to_rgb(image), 1 + GAP + position, y, 1.0, gid, height=height)

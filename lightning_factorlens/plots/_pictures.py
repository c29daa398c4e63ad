"""Pictures of concepts: their size as tiles, and words about a concept."""

from __future__ import annotations

import math

from lightning_factorlens.plots.type_width import layer_label
from lightning_factorlens.results import ConceptCard, ConceptPage

#: Height of an image in widths, at most and at least: longer ones are drawn compressed.
TALLEST = 2.0
LOWEST = 0.5
#: The mark of a concept that another fit does not have.
LOST = "✗"


def picture_height(page: ConceptPage) -> float:
    """Height of the images in widths; 0 where there are no images."""
    pictures = page.cards[0].pictures if page.cards else None
    if pictures is None:
        return 0.0
    height, width = pictures.latent.shape[-2:]
    return min(max(height / width, LOWEST), TALLEST)


def named(card: ConceptCard, width: float) -> str:
    """The number of a concept with its name and score, not wider than ``width`` inches."""
    if card.name is None or math.isnan(card.score):
        return f"concept {card.number}"
    word = f"class {card.name}" if isinstance(card.name, int) else str(card.name)
    name = layer_label(word, width - 1.5)
    return f"concept {card.number}: {name} ({card.score:.2f})"


def in_words(value: float) -> str:
    """A number from 0 to 1 with two digits; a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def stability_in_words(card: ConceptCard) -> str:
    """The stability of a concept, with a mark where another fit does not have it."""
    mark = f" {LOST}" if card.is_stable is False else ""
    return in_words(card.stability) + mark

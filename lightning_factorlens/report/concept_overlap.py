"""Which concepts of two networks are about the same images."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.report.concept_cards import concept_name
from lightning_factorlens.report.parts import Group, Part, Table, Text
from lightning_factorlens.results import ConceptCard, ConceptPage

#: Root mean square difference of two images below which they are the same one, in units of their range. Stored images
#: have 256 levels, and the levels differ between concepts.
SAME = 0.01


def common_images(name: str, page: ConceptPage | None, other_name: str, other: ConceptPage | None) -> list[Part]:
    """A table of the concepts of one network with those of another that share most of their top images.

    Args:
        name: The name of the first network.
        page: Its concepts.
        other_name: The name of the second network.
        other: Its concepts.

    Returns:
        The table; nothing where one of them has no images, or where no image is the same.
    """
    if page is None or other is None:
        return []
    found = {card.number: _images(card) for card in other.cards}
    rows = []
    n_in_both = 0
    for card in page.cards:
        own = _images(card)
        counts = {number: _n_common(own, images) for number, images in found.items()}
        best = max(counts, key=lambda number: counts[number], default=0)
        count = counts.get(best, 0)
        n_in_both += count
        partner = concept_name(other[best]) if count else "none"
        rows.append((concept_name(card), partner, f"{count} of {len(own)}"))
    if not n_in_both:
        return []
    meaning = Text("Each concept of the first beside the one of the second that has most of the same top images.")
    table = Table("Concepts in both", (name, other_name, "images in common"), rows)
    return [Group("Concepts in both", [meaning, table])]


def _images(card: ConceptCard) -> Tensor:
    """The top images of a concept from 0 to 1, shape (images, pixels); positions may be those of another probe."""
    if card.pictures is None:
        return torch.empty(0, 0)
    pixels = card.pictures.top.double().flatten(1)
    low, high = pixels.amin(1, keepdim=True), pixels.amax(1, keepdim=True)
    return (pixels - low) / (high - low).clamp_min(1e-12)


def _n_common(own: Tensor, other: Tensor) -> int:
    """How many of the first images are among the second."""
    if not len(own) or not len(other) or own.shape[1] != other.shape[1]:
        return 0
    distance = torch.cdist(own, other) / own.shape[1] ** 0.5
    return int((distance.amin(1) < SAME).sum())

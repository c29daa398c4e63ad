"""One concept on the page: its pixels, its images, and behind a click its neighbours and its place in the network."""

from __future__ import annotations

import math

from lightning_factorlens.plots.latent_images import to_rgb
from lightning_factorlens.report.class_words import percent, two_digits
from lightning_factorlens.report.parts import Gallery, Group, Part, Table, Text
from lightning_factorlens.report.tiles import Tile, grid, tile_picture
from lightning_factorlens.results import ConceptCard, ConceptPictures

#: Top images and nearest images that are shown, and how many of them stand in a row.
N_IMAGES = 16
ACROSS = 8
#: Width of a tile, and of the two single pictures, in CSS pixels.
TILE = 54
SINGLE = 111


def card_group(card: ConceptCard) -> Group:
    """One concept under a heading of its own.

    Args:
        card: The concept.
    """
    parts: list[Part] = [Text(_numbers(card))]
    if card.pictures is not None:
        parts.append(_gallery(card, card.pictures))
    else:
        listed = ", ".join(str(int(position)) for position in card.top_images)
        parts.append(Text(f"The inputs are no images. Positions of the samples that belong most to it: {listed}."))
    details = Group(f"Neighbours and layers of concept {card.number}", _details(card), is_folded=True)
    title = concept_name(card)
    return Group(title[0].upper() + title[1:], [*parts, details])


def concept_name(card: ConceptCard) -> str:
    """The number of a concept, and the class that it is named by.

    Args:
        card: The concept.
    """
    return f"concept {card.number}" if card.name is None else f"concept {card.number}: {card.name}"


def _numbers(card: ConceptCard) -> str:
    parts = []
    if card.name is not None and not math.isnan(card.score):
        parts.append(f"{percent(card.score)} of its weight lies on images that are predicted as {card.name}")
    for word, value in (("clarity", card.clarity), ("agreement", card.agreement), ("stability", card.stability)):
        if not math.isnan(value):
            parts.append(f"{word} {two_digits(value)}")
    if card.is_stable is False:
        parts.append("not found again by the other fit")
    text = "; ".join(parts) or "nothing is left of this concept"
    return text[0].upper() + text[1:] + "."


def _gallery(card: ConceptCard, pictures: ConceptPictures) -> Gallery:
    name = concept_name(card)
    latent = tile_picture(
        [Tile(pictures.colour.double().numpy(), 0, 0)],
        SINGLE,
        f"The pixels of {name}: the part of an image that grows with it.",
        "its pixels",
    )
    masked = tile_picture(
        [Tile(to_rgb(pictures.masked), 0, 0)],
        SINGLE,
        f"The image that belongs most to {name}; the half of its pixels that the concept uses least is black.",
        "what it uses of its first image",
    )
    tiles = grid([to_rgb(image) for image in pictures.top[:N_IMAGES]], ACROSS)
    alt = f"The {len(tiles)} images that belong most to {name}, the first one most."
    top = tile_picture(tiles, TILE, alt, f"the {len(tiles)} images that belong most to it")
    return Gallery([latent, masked, top])


def _details(card: ConceptCard) -> list[Part]:
    parts: list[Part] = []
    if card.pictures is not None and len(card.pictures.nearest):
        tiles = grid([to_rgb(image) for image in card.pictures.nearest[:N_IMAGES]], ACROSS)
        alt = f"The {len(tiles)} images that are nearest to the first image of concept {card.number}, by all concepts."
        caption = f"The {len(tiles)} images nearest to its first image. {_tally(card)}"
        parts.append(tile_picture(tiles, TILE, alt, caption))
    rows = []
    for panel in card.panels:
        channels = []
        for channel, share in zip(panel.channels, panel.channel_shares):
            if share > 0:
                channels.append(f"{channel} ({percent(share)})")
        rows.append(
            (panel.layer, percent(panel.share) if panel.share == panel.share else "–", ", ".join(channels) or "none")
        )
    if rows:
        header = ("layer", "its share of the layer", "strongest channels, with their share of the concept")
        parts.append(Table(f"Where in the network concept {card.number} is", header, rows))
    return parts


def _tally(card: ConceptCard) -> str:
    """Which concepts the neighbours belong to."""
    counts = []
    for number, count in enumerate(int(count) for count in card.tally):
        if count:
            counts.append((count, number))
    counts.sort(key=lambda pair: (-pair[0], pair[1]))
    listed = [f"{count} to concept {number}" for count, number in counts[:3]]
    total = sum(count for count, _ in counts)
    return f"Of the {total} nearest ones, {', '.join(listed)} belong most." if listed else ""

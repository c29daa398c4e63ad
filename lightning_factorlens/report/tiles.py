"""Small images beside each other as one image, so that a screen reader has one description for all of them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from lightning_factorlens.plots.style import to_png
from lightning_factorlens.report.parts import Picture

#: Space between tiles in shares of a tile; it is transparent.
SEAM = 0.06
#: Bytes above which an image is stored with losses.
MAX_LOSSLESS = 50_000
QUALITY = 88


@dataclass(frozen=True)
class Tile:
    """One small image in a grid of squares.

    Attributes:
        pixels: Shape (height, width, 3), from 0 to 1.
        row: Row of its upper edge.
        column: Column of its left edge.
        size: Number of rows and columns that it takes.
    """

    pixels: np.ndarray
    row: int
    column: int
    size: int = 1


def grid(images: Sequence[np.ndarray], columns: int, column: int = 0) -> list[Tile]:
    """Images in rows from the left to the right.

    Args:
        images: See `Tile`.
        columns: Number of images in a row.
        column: Column of the first of them.
    """
    tiles = []
    for index, pixels in enumerate(images):
        tiles.append(Tile(pixels, index // columns, column + index % columns))
    return tiles


def tile_picture(tiles: Sequence[Tile], width: int, alt: str, caption: str = "") -> Picture:
    """Tiles as one image.

    Args:
        tiles: At least one; all are drawn with the height and width of the first one's pixels.
        width: Width of a tile in CSS pixels.
        alt: What it shows, for a reader who does not see it.
        caption: A line below it.
    """
    pixels = _draw(tiles)
    height, across = pixels.shape[:2]
    columns = max(tile.column + tile.size for tile in tiles)
    full_width = round(width * columns)
    source = _data_uri(pixels)
    return Picture(source, alt, caption, full_width, round(full_width * height / across), is_pixelated=True)


def _draw(tiles: Sequence[Tile]) -> np.ndarray:
    """The tiles in one array, uint8, shape (height, width, 4), with transparent seams."""
    first = tiles[0]
    height, width = (-(-side // first.size) for side in _enlarged(first).shape[:2])
    seam = max(1, round(SEAM * width))
    rows = max(tile.row + tile.size for tile in tiles)
    columns = max(tile.column + tile.size for tile in tiles)
    canvas = np.zeros((rows * (height + seam) - seam, columns * (width + seam) - seam, 4), np.uint8)
    for tile in tiles:
        top, left = tile.row * (height + seam), tile.column * (width + seam)
        full_height = tile.size * (height + seam) - seam
        full_width = tile.size * (width + seam) - seam
        pixels = _resized(tile.pixels, full_height, full_width)
        canvas[top : top + full_height, left : left + full_width, :3] = np.round(255 * np.clip(pixels, 0, 1))
        canvas[top : top + full_height, left : left + full_width, 3] = 255
    return canvas


def _enlarged(tile: Tile) -> np.ndarray:
    """The pixels of a tile, repeated where it takes several squares."""
    return tile.pixels.repeat(tile.size, 0).repeat(tile.size, 1)


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The nearest pixels in another size."""
    rows = np.arange(height) * pixels.shape[0] // height
    columns = np.arange(width) * pixels.shape[1] // width
    return pixels[rows][:, columns]


def _data_uri(pixels: np.ndarray) -> str:
    """PNG, or WebP with losses for large images, which takes a tenth."""
    content, kind = to_png(pixels).getvalue(), "image/png"
    if len(content) > MAX_LOSSLESS:
        from PIL import Image, features

        if features.check("webp"):
            file = BytesIO()
            Image.fromarray(pixels).save(file, format="WEBP", quality=QUALITY)
            if file.tell() < len(content):
                content, kind = file.getvalue(), "image/webp"
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}"

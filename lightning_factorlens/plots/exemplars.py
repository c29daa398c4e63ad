"""The images that excite singular vectors most, on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lightning_factorlens._validation import check_positions, check_type
from lightning_factorlens.plots._maps import is_images, tile_height
from lightning_factorlens.plots.latent_images import to_rgb
from lightning_factorlens.plots.style import INK, SMALL, add_title, figure_of
from lightning_factorlens.plots.tiles import draw_tile, tile_axes, tile_inches
from lightning_factorlens.plots.type_width import fitting_size, layer_label
from lightning_factorlens.results import Exemplars

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of images of a side, and of vectors; space between the sides in tiles.
MAX_IMAGES = 5
MAX_VECTORS = 8
GAP = 0.4
#: Height in inches of the title and of the line above the images of a vector.
TOP = 0.66
CAPTION = 0.24


def exemplars_figure(
    exemplars: Exemplars, inputs: Tensor | np.ndarray, vectors: Sequence[int] | None = None
) -> Figure | None:
    """For every singular vector, the images with the largest signals and those with the smallest.

    Args:
        exemplars: From `hierarchy.exemplary_images`.
        inputs: The images of the probe, shape (N, C, H, W), as a tensor or an array; ``lens.draw(samples).inputs`` are
            those of a dataset or a loader.
        vectors: Numbers of the vectors, at most eight; the first ones unless given.

    Returns:
        The figure; None where ``inputs`` are no images. Images have the ids ``positive/<vector>/<position>/<image>``
        and ``negative/…``.

    Raises:
        ValueError: Another argument than exemplars, inputs that are neither a tensor nor an array or too few, or a
            vector that the layer does not have.

    Example:
        >>> import torch
        >>> from lightning_factorlens.hierarchy import exemplary_images, layer_signals
        >>> model, images = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU()), torch.rand(9, 1, 5, 5)
        >>> figure = exemplars_figure(exemplary_images(layer_signals(model, images)["0"]), images)
    """
    check_type("exemplars", exemplars, Exemplars, "pass exemplary_images(signals)")
    if isinstance(inputs, np.ndarray):
        inputs = torch.from_numpy(inputs)
    check_type("inputs", inputs, Tensor, "pass the images of the probe, as lens.draw(samples).inputs")
    if not is_images(inputs):
        return None
    r = len(exemplars.s)
    given = range(r) if vectors is None else vectors
    chosen = check_positions("vectors", given, r, f"vectors of layer {exemplars.layer!r}")[:MAX_VECTORS]
    last = int(torch.maximum(exemplars.positive.max(), exemplars.negative.max()))
    if last >= len(inputs):
        raise ValueError(
            f"inputs: found {len(inputs)} images, and image {last} is exemplary; pass the images that the signals "
            "belong to."
        )
    n_images = min(MAX_IMAGES, exemplars.positive.shape[1])
    across = 2 * n_images + GAP
    height = tile_height(to_rgb(inputs[0]))
    caption = CAPTION / tile_inches(None, across)
    ax = tile_axes(across, len(chosen) * (height + caption), TOP)
    for row, vector in enumerate(chosen):
        y = row * (height + caption) + caption
        _draw_side(ax, exemplars, inputs, vector, "positive", 0.0, y, height, n_images)
        _draw_side(ax, exemplars, inputs, vector, "negative", n_images + GAP, y, height, n_images)
    shown = f"{len(chosen)} of {r} vectors" if len(chosen) < r else f"all vectors ({r})"
    lines = [f"{shown}; left, the largest signals first; right, the smallest first"]
    add_title(figure_of(ax), f"Exemplary images of {layer_label(exemplars.layer, 3.0)}", lines)
    return figure_of(ax)


def _draw_side(
    ax: Axes,
    exemplars: Exemplars,
    inputs: Tensor,
    vector: int,
    side: str,
    x: float,
    y: float,
    height: float,
    n_images: int,
) -> None:
    """A line and the images of one side of a vector."""
    is_positive = side == "positive"
    images = exemplars.positive if is_positive else exemplars.negative
    values = exemplars.positive_values if is_positive else exemplars.negative_values
    text = f"signals {_number(values[vector, 0])} to {_number(values[vector, n_images - 1])}"
    if is_positive:
        text = f"vector {vector}, s {_number(exemplars.s[vector])}, {text}"
    width = (n_images + GAP / 2) * tile_inches(None, 2 * n_images + GAP)
    ax.text(x, y - 0.04, text, fontsize=fitting_size(text, width, SMALL - 1), color=INK, va="bottom")
    for position, image in enumerate(images[vector, :n_images].tolist()):
        draw_tile(ax, to_rgb(inputs[image]), x + position, y, 1.0, f"{side}/{vector}/{position}/{image}", height=height)


def _number(value: Tensor) -> str:
    """Two digits, or all digits before the point."""
    number = float(value)
    return f"{number:.0f}" if abs(number) >= 10 else f"{number:.2g}"

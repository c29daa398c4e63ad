"""Latent images: the input factor of each component, beside the probe images that load most on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from lightning_factorlens.plots._legends import scale_bar
from lightning_factorlens.plots._records import check_history
from lightning_factorlens.plots.grids import factor_maps
from lightning_factorlens.plots.style import INK, SIDE_MARGIN, SMALL, add_title, figure_of, when
from lightning_factorlens.plots.tiles import add_tile_title, draw_tile, set_tile_limits, tile_axes, tile_inches
from lightning_factorlens.results import Factorization, Observation
from lightning_factorlens.results.curves import middle_rank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of components, of channels of each, and of probe images beside them.
MAX_COMPONENTS = 8
MAX_CHANNELS = 4
MAX_IMAGES = 4
#: Space between factors and images, and between columns of components, in tiles.
GAP = 0.2
COLUMN_GAP = 0.45
#: Height of the title, of a caption and of the colour bar, in inches.
TOP = 0.82
CAPTION = 0.24
BAR = 0.42


@dataclass(frozen=True)
class TopComponents:
    """The strongest components of the inputs at one rank.

    Attributes:
        rank: The rank.
        order: Numbers of the components, the strongest first.
        factors: Their input factors, shape (components, channels, height, width).
        F: The sample factor, shape (rank, N).
        images: The probe, shape (N, C, H, W).
    """

    rank: int
    order: list[int]
    factors: np.ndarray
    F: Tensor
    images: Tensor


def latent_images_figure(history: Sequence[Observation], ax: Axes | None = None) -> Figure | None:
    """The input factors of the middle rank as images, each beside the probe images that load most on it.

    Args:
        history: Observations of one run, oldest first. The ``inputs`` and the ``factorization`` of the last one are
            drawn.
        ax: Axes to draw into; None for a new figure.

    Returns:
        The figure, or None where there is nothing to draw: no images, no blocks ``input/…``, or factors of another
        shape than the images. Images have the ids ``factor/<component>/<channel>`` and
        ``probe/<component>/<position>/<image>``.

    Raises:
        ValueError: ``history`` is empty.
    """
    check_history(history)
    top = top_components(history[-1])
    if top is None:
        return None
    n_shown, n_channels = top.factors.shape[:2]
    height = top.images.shape[2] / top.images.shape[3]
    n_columns = 2 if n_shown > 3 and n_channels == 1 else 1
    n_rows = -(-n_shown // n_columns)
    stride_x = n_channels + GAP + min(MAX_IMAGES, top.F.shape[1]) + COLUMN_GAP
    across = n_columns * stride_x - COLUMN_GAP
    caption = CAPTION / tile_inches(ax, across)
    stride_y = height + caption
    is_new_figure = ax is None
    if ax is None:
        ax = tile_axes(across, n_rows * stride_y, TOP, BAR)
    else:
        set_tile_limits(ax, across, n_rows * stride_y)
    for index in range(n_shown):
        column, row = divmod(index, n_rows)
        _draw_component(ax, top, index, column * stride_x, row * stride_y + caption, height)
    title = f"Latent images, rank {top.rank}, {when(history[-1])}"
    lines = _explanation(top)
    if is_new_figure:
        add_title(figure_of(ax), title, lines)
        add_own_scale_bar(figure_of(ax), bool((top.factors < 0).any()), "1: the largest value of each input factor")
    else:
        add_tile_title(ax, title, lines)
    return figure_of(ax)


def add_own_scale_bar(figure: Figure, signed: bool, label: str) -> None:
    """The colour bar of images that each have a scale of their own, at the lower edge of a figure."""
    width, height = figure.get_size_inches()
    position = ((SIDE_MARGIN + 0.08) / width, 0.26 / height, 1.3 / width, 0.12 / height)
    scale_bar(figure, position, signed, label)


def _explanation(top: TopComponents) -> tuple[str, str]:
    n_shown, n_channels = top.factors.shape[:2]
    shown = f"all {n_shown} components"
    if n_shown < top.rank:
        shown = f"the {n_shown} strongest of {top.rank} components"
    factor = "input factor"
    if n_channels > 1:
        factor = f"input factor, channels 0 to {n_channels - 1}"
    return f"{shown}, strongest first: {factor},", "then the probe images that load most on it"


def top_components(observation: Observation) -> TopComponents | None:
    """The components of the middle rank with the largest part of the inputs; None where they cannot be drawn."""
    factorization = observation.factorization
    images = observation.inputs
    if factorization is None or images is None or images.ndim != 4 or not factorization.ranks:
        return None
    rank = middle_rank(factorization.ranks)
    rank_index = factorization.ranks.index(rank)
    names = factorization.block_names
    blocks = [block for block, name in enumerate(names) if name.startswith("input/")][:MAX_CHANNELS]
    F = factorization.F[rank_index].detach().float().cpu()
    if not blocks or F.shape[1] != len(images):
        return None
    maps = _input_maps(factorization, rank_index, blocks, tuple(images.shape[2:]))
    if maps is None:
        return None
    order = _by_strength(factorization, rank_index, blocks, F)[:MAX_COMPONENTS]
    return TopComponents(rank, order, maps[order], F, images.detach())


def _input_maps(
    factorization: Factorization, rank_index: int, blocks: Sequence[int], shape: tuple[int, ...]
) -> np.ndarray | None:
    """Maps of the input blocks, shape (rank, blocks, height, width), where all are of the images' shape.

    A block of many channels has one map, the mean over them.
    """
    maps: list[np.ndarray] = []
    for block in blocks:
        if not factorization.shapes or factorization.shapes[block][-2:] != shape:
            return None
        found = factor_maps(factorization, rank_index, block, merge_channels=True)
        if found is None or (maps and found.shape != maps[0].shape):
            return None
        maps.append(found)
    return np.concatenate(maps, axis=1)


def _by_strength(factorization: Factorization, rank_index: int, blocks: Sequence[int], F: Tensor) -> list[int]:
    """Components by the norm of their part of the inputs, the largest first."""
    energy = np.zeros(len(F), dtype=np.float32)
    for block in blocks:
        W = factorization.W[rank_index][block].detach().float().cpu().numpy()
        energy += np.square(W).sum(axis=0)
    strength = np.sqrt(energy) * F.norm(dim=1).numpy()
    order: list[int] = np.argsort(-strength, kind="stable").tolist()
    return order


def _draw_component(ax: Axes, top: TopComponents, index: int, x: float, y: float, height: float) -> None:
    """One component: a caption, its factor in every channel, and the images that load most on it."""
    component = top.order[index]
    factor = top.factors[index]
    ax.text(x, y - 0.04, f"{index + 1}. component {component}", fontsize=SMALL, color=INK, va="bottom")
    bound = float(np.nanmax(np.abs(factor))) or 1.0
    for channel, pixels in enumerate(factor):
        draw_tile(ax, pixels, x + channel, y, bound, f"factor/{component}/{channel}", height=height)
    left = x + len(factor) + GAP
    strongest = top.F[component].argsort(descending=True, stable=True)[:MAX_IMAGES].tolist()
    for position, image in enumerate(strongest):
        gid = f"probe/{component}/{position}/{image}"
        draw_tile(ax, to_rgb(top.images[image]), left + position, y, 1.0, gid, height=height)


def to_rgb(image: Tensor) -> np.ndarray:
    """An image in colour, stretched to [0, 1]; grey where it does not have three channels.

    Args:
        image: Shape (C, H, W).

    Returns:
        Shape (H, W, 3), float32.
    """
    pixels = image.float().cpu().numpy().transpose(1, 2, 0)
    if pixels.shape[2] != 3:
        pixels = pixels.mean(axis=2, keepdims=True).repeat(3, axis=2)
    low = float(pixels.min())
    high = float(pixels.max())
    stretched: np.ndarray = (pixels - low) / ((high - low) or 1.0)
    return stretched

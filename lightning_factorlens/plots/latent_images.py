"""Latent images: what each component looks like at the input, beside the probe images that use it most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lightning_factorlens.loggers.tags import middle_rank
from lightning_factorlens.plots.grids import factor_maps
from lightning_factorlens.plots.style import INK, SMALL, WIDTH, add_title, draw_tile, new_figure, tile_axes
from lightning_factorlens.results import Observation

#: Components shown, the strongest first, the channels of each, and probe images beside them.
COMPONENTS = 8
CHANNELS = 4
PICTURES = 4
#: In widths of a tile: between factors and images, between columns of components.
GAP, GUTTER = 0.2, 0.45
#: Inches: above the tiles, and for a caption.
TOP, CAPTION = 0.82, 0.24


@dataclass(frozen=True)
class Latents:
    """Factors (components, channels, height, width), strongest first; sample factor (rank, N); images (N, C, H, W)."""

    rank: int
    order: list[int]
    factors: np.ndarray
    F: Tensor
    images: Tensor


def latent_figure(observation: Observation) -> Figure | None:
    """The input factors of one middle rank as pictures, each beside its strongest probe images.

    Args:
        observation: With images and a factorisation that has blocks ``input/…``.

    Returns:
        The figure, or None where there is nothing to draw: no images, no input blocks, or factors that are not of
        the images. Images carry the ids ``factor/<component>/<channel>`` and ``probe/<component>/<place>/<image>``.
    """
    latents = top_components(observation)
    if latents is None:
        return None
    shown, channels = latents.factors.shape[:2]
    tall = latents.images.shape[2] / latents.images.shape[3]
    pictures = min(PICTURES, latents.F.shape[1])
    columns = 2 if shown > 3 and channels == 1 else 1
    rows = -(-shown // columns)
    stride_x = channels + GAP + pictures + GUTTER
    across = columns * stride_x - GUTTER
    inches = (WIDTH - 0.24) / across  # a tile's
    stride_y = tall + CAPTION / inches
    down = rows * stride_y
    figure = new_figure(down * inches + TOP + 0.1)
    ax = tile_axes(figure, TOP, across, down)
    for k in range(shown):
        _component(ax, latents, k, (k // rows) * stride_x, (k % rows) * stride_y + CAPTION / inches, tall)
    some = f"the {shown} strongest of {latents.rank} components" if shown < latents.rank else f"all {shown} components"
    factor = "input factor" if channels == 1 else f"input factor, channels 0 to {channels - 1}"
    words = (f"{some}: {factor} (left, own scale),", "then the probe images that load most on it")
    add_title(figure, f"Latent images, rank {latents.rank}, epoch {observation.epoch}", words)
    return figure


def top_components(observation: Observation) -> Latents | None:
    """The components of the middle rank whose share of the input is largest; None where that cannot be drawn."""
    f, images = observation.factorization, observation.images
    if f is None or images is None or images.ndim != 4 or not f.ranks:
        return None
    at = f.ranks.index(middle_rank(f.ranks))
    inputs = [b for b, name in enumerate(f.block_names) if name.startswith("input/")][:CHANNELS]
    if not inputs or f.F[at].shape[1] != len(images):
        return None
    drawn = [factor_maps(f, at, b) for b in inputs if f.shapes and f.shapes[b] == tuple(images.shape[2:])]
    factors = [m for m in drawn if m is not None]
    if len(factors) < len(inputs) or len({m.shape for m in factors}) > 1:
        return None
    F = f.F[at].detach().float().cpu()
    energy = sum(np.square(f.W[at][b].detach().float().cpu().numpy()).sum(axis=0) for b in inputs)
    order = [int(k) for k in np.argsort(-np.sqrt(energy) * F.norm(dim=1).numpy(), kind="stable")[:COMPONENTS]]
    return Latents(f.ranks[at], order, np.concatenate(factors, axis=1)[order], F, images.detach())


def _component(ax: Axes, latents: Latents, k: int, x: float, y: float, tall: float) -> None:
    """One component's row: a caption, its factor in every channel, its strongest images."""
    component, factor = latents.order[k], latents.factors[k]
    ax.text(x, y - 0.04, f"component {component}", fontsize=SMALL, color=INK, va="bottom")
    bound = float(np.nanmax(np.abs(factor))) or 1.0
    for channel, picture in enumerate(factor):
        draw_tile(ax, picture, x + channel, y, bound, f"factor/{component}/{channel}", tall=tall)
    x += len(factor) + GAP
    best = latents.F[component].argsort(descending=True, stable=True)[:PICTURES].tolist()
    for place, (image, picture) in enumerate(zip(best, as_pictures(latents.images, best))):
        draw_tile(ax, picture, x + place, y, 1.0, f"probe/{component}/{place}/{image}", tall=tall)


def as_pictures(images: Tensor, which: Sequence[int]) -> list[np.ndarray]:
    """Some images in colour, (H, W, 3), each stretched to [0, 1]; grey where there are not three channels."""
    pictures = []
    for image in which:
        pixels = images[image].float().cpu().numpy().transpose(1, 2, 0)
        pixels = pixels if pixels.shape[2] == 3 else pixels.mean(axis=2, keepdims=True).repeat(3, axis=2)
        low, high = float(pixels.min()), float(pixels.max())
        pictures.append((pixels - low) / ((high - low) or 1.0))
    return pictures

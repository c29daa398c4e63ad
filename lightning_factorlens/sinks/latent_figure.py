"""Latent images: what each component looks like at the input, beside the probe images that use it most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lightning_factorlens.sinks.figures import INK, blank
from lightning_factorlens.sinks.tags import middle_rank
from lightning_factorlens.types import Observation

#: Components shown, the strongest first, the channels of each, and probe images beside them.
COMPONENTS = 8
CHANNELS = 4
PICTURES = 4
#: In widths of a tile: between factors and images, between columns of components, for a caption.
GAP, GUTTER, CAPTION = 0.25, 0.7, 0.3


@dataclass(frozen=True)
class _Latents:
    """Factors (components, channels, H, W), sample factor (components, N), images (N, C, H, W)."""

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
        The figure, or None where there is nothing to draw: no images, no input blocks, or factors that are
        not of the images' size. Images carry the ids ``factor/<component>/<channel>`` and
        ``probe/<component>/<place>/<image>``.
    """
    latents = _latents(observation)
    if latents is None:
        return None
    shown, channels, height, width = latents.factors.shape
    pictures = min(PICTURES, latents.F.shape[1])
    columns = 2 if shown > 3 else 1
    rows = -(-shown // columns)
    tall = height / width
    stride_x, stride_y = channels + GAP + pictures + GUTTER, tall + CAPTION
    across, down = columns * stride_x - GUTTER, rows * stride_y
    scale = min(1.0, 13 / across)
    size = (across * scale + 0.4, down * scale + 0.8)
    figure = blank(*size)
    ax = figure.add_axes((0.2 / size[0], 0.1 / size[1], 1 - 0.4 / size[0], 1 - 0.8 / size[1]))
    for k in range(shown):
        _component(ax, latents, k, (k // rows) * stride_x, (k % rows) * stride_y + CAPTION)
    ax.set(xlim=(0, across), ylim=(down, 0), aspect="equal", anchor="NW")
    ax.axis("off")
    _headline(figure, latents, observation.epoch, size)
    return figure


def _latents(observation: Observation) -> _Latents | None:
    f, images = observation.factorization, observation.images
    if f is None or images is None or images.ndim != 4 or not f.ranks:
        return None
    at = f.ranks.index(middle_rank(f.ranks))
    inputs = [b for b, name in enumerate(f.block_names) if name.startswith("input/")][:CHANNELS]
    n, height, width = images.shape[0], images.shape[2], images.shape[3]
    fits = all(f.W[at][b].shape[0] == height * width for b in inputs)  # a feature budget keeps fewer pixels
    if not inputs or not fits or f.F[at].shape[1] != n:
        return None
    F = f.F[at].detach().float().cpu()
    W = np.stack([f.W[at][b].detach().float().cpu().numpy() for b in inputs])
    strength = np.sqrt((W**2).sum(axis=(0, 1))) * F.norm(dim=1).numpy()
    order = [int(k) for k in np.argsort(-strength, kind="stable")[:COMPONENTS]]
    factors = W[:, :, order].transpose(2, 0, 1).reshape(len(order), len(inputs), height, width)
    return _Latents(f.ranks[at], order, factors, F, images.detach())


def _component(ax: Axes, latents: _Latents, k: int, x: float, y: float) -> None:
    """One component's row: a caption, its factor in every channel, its strongest images."""
    component, factor = latents.order[k], latents.factors[k]
    tall = factor.shape[1] / factor.shape[2]
    ax.text(x, y - 0.06, f"component {component}", fontsize=9, color=INK, va="bottom")
    bound = float(np.abs(factor).max()) or 1.0
    signed = bool((factor < 0).any())
    for channel, picture in enumerate(factor):
        ax.imshow(
            picture,
            cmap="PuOr_r" if signed else "viridis",
            vmin=-bound if signed else 0,
            vmax=bound,
            extent=(x + channel, x + channel + 0.96, y + 0.96 * tall, y),
            interpolation="nearest",
            gid=f"factor/{component}/{channel}",
        )
    x += len(factor) + GAP
    best = latents.F[component].argsort(descending=True, stable=True)[:PICTURES].tolist()
    for place, (image, picture) in enumerate(zip(best, _as_pictures(latents.images, best))):
        ax.imshow(
            picture,
            cmap="gray",
            vmin=0,
            vmax=1,
            extent=(x + place, x + place + 0.96, y + 0.96 * tall, y),
            interpolation="nearest",
            gid=f"probe/{component}/{place}/{image}",
        )


def _as_pictures(images: Tensor, which: Sequence[int]) -> list[np.ndarray]:
    """Some images, each stretched to [0, 1]: in colour with three channels, else the mean of them in grey."""
    pictures = []
    for image in which:
        pixels = images[image].float().cpu().numpy().transpose(1, 2, 0)
        pixels = pixels if pixels.shape[2] == 3 else pixels.mean(axis=2)
        low, high = float(pixels.min()), float(pixels.max())
        pictures.append((pixels - low) / ((high - low) or 1.0))
    return pictures


def _headline(figure: Figure, latents: _Latents, epoch: int, size: tuple[float, float]) -> None:
    shown, channels = latents.factors.shape[:2]
    some = f"the {shown} strongest of {latents.rank}" if shown < latents.rank else f"all {shown}"
    figure.text(
        0.2 / size[0],
        1 - 0.3 / size[1],
        f"Latent images, rank {latents.rank}, epoch {epoch}",
        fontsize=12,
        color=INK,
    )
    factor = "input factor" if channels == 1 else f"input factor, channels 0 to {channels - 1}"
    words = f"{some}: {factor} (own scale), then the probe images that use it most"
    figure.text(0.2 / size[0], 1 - 0.52 / size[1], words, fontsize=9, color=INK)

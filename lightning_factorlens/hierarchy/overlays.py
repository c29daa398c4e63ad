"""Which positions of some images are like a chosen one.

Fong, Mordvintsev, Vedaldi and Olah (2021), "Interactive similarity overlays"; Praggastis et al. (2022), figure 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_factorlens._validation import check_positions
from lightning_factorlens.hierarchy.layer_capture import CapturedLayer, capture_layer
from lightning_factorlens.hierarchy.layer_vectors import VectorCache
from lightning_factorlens.hierarchy.sample_recorder import channel_column
from lightning_factorlens.results import SimilarityOverlay


@torch.no_grad()
def similarity_overlay(
    model: nn.Module,
    probe: Any,
    layer: str,
    anchor: int,
    others: Sequence[int] = (),
    position: Sequence[int] | Literal["largest", "image"] = "largest",
    *,
    forward: Callable[[Any], Any] | None = None,
    cache: VectorCache | None = None,
) -> SimilarityOverlay:
    """Cosine between the outputs of a layer at every position, over its channels, and those at an anchor.

    Args:
        model: Any module; it is left as found.
        probe: See `layer_signals`.
        layer: Name of the layer; its outputs are taken with the bias.
        anchor: Position of the anchor's image in the probe.
        others: Positions of other images that are compared with it.
        position: Where in the image the anchor is, on the layer's grid; ``"largest"``: where the signal of any singular
            vector is largest in magnitude; ``"image"``: the mean over all positions.
        forward: See `layer_signals`.
        cache: See `layer_signals`.

    Returns:
        The cosines for the anchor's image, then for the others.

    Raises:
        ValueError: No such layer, image or position, or a layer that cannot be shown, with the reason.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))
        >>> overlay = similarity_overlay(model, torch.rand(6, 1, 5, 5), "0", anchor=2, others=[4], position=(1, 1))
        >>> overlay.maps.shape, round(float(overlay.maps[0, 1, 1]), 5)
        (torch.Size([2, 3, 3]), 1.0)
    """
    images = [anchor, *others]
    captured = capture_layer(model, probe, layer, images, forward, cache)
    values = captured.outputs.cpu().double()
    if captured.layer.bias is not None:
        values = values + channel_column(captured.layer.bias, values)
    place = _place(captured, position)
    reference = values[0].reshape(values.shape[1], -1).mean(1)
    if place is not None:
        every_channel: Any = (slice(None), *place)
        reference = values[0][every_channel]
    units = _unit(values)
    cosines = torch.einsum("nd...,d->n...", units, _unit(reference[None])[0])
    return SimilarityOverlay(
        layer,
        torch.tensor([int(image) for image in images]),
        place,
        cosines.clamp(-1, 1).float().cpu(),
        captured.images,
    )


def _unit(values: Tensor) -> Tensor:
    """Vectors of length 1 along axis 1; NaN for vectors of zeros."""
    return values / values.norm(dim=1, keepdim=True)


def _place(captured: CapturedLayer, position: Sequence[int] | str) -> tuple[int, ...] | None:
    grid = captured.grid
    if position == "image":
        return None
    if position == "largest":
        strength = captured.signals()[0].abs().amax(0)
        largest = torch.unravel_index(strength.argmax(), grid) if grid else ()
        return tuple(int(index) for index in largest)
    if isinstance(position, str):
        raise ValueError(f"position: found {position!r}, allowed are 'largest', 'image', or a position on the grid.")
    given = list(position) if isinstance(position, Iterable) else [position]
    if len(given) != len(grid):
        raise ValueError(
            f"position: the grid of layer {captured.layer.name!r} is {grid}, found {position!r}; give one number for "
            "each axis, counted from 0, 'largest' or 'image'."
        )
    place = []
    for index, size in zip(given, grid):
        place += check_positions("position", [index], size, f"positions on an axis of the grid {grid}")
    return tuple(place)

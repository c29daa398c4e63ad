"""Where images excite the singular vectors of a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from lightning_factorlens._validation import check_positions
from lightning_factorlens.hierarchy.layer_capture import capture_layer
from lightning_factorlens.hierarchy.layer_vectors import VectorCache
from lightning_factorlens.results import ProjectionMaps


@torch.no_grad()
def projection_maps(
    model: nn.Module,
    probe: Any,
    layer: str,
    images: Sequence[int],
    vectors: Sequence[int],
    *,
    forward: Callable[[Any], Any] | None = None,
    cache: VectorCache | None = None,
) -> ProjectionMaps:
    """s_i v_iᵀ Ψ on the layer's own grid, for some images and singular vectors; the mean over the grid is the signal.

    Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights: A CNN
    interpretability framework", figure 6.

    Args:
        model: Any module; it is left as found.
        probe: See `layer_signals`.
        layer: Name of the layer.
        images: Positions of the images in the probe.
        vectors: Numbers of the vectors, from 0, as the columns of `Signals.values`.
        forward: See `layer_signals`.
        cache: See `layer_signals`.

    Raises:
        ValueError: No such layer, image or vector, or a layer that cannot be shown, with the reason.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))
        >>> projection_maps(model, torch.rand(6, 1, 5, 5), "0", images=[3, 0], vectors=[0]).maps.shape
        torch.Size([2, 1, 3, 3])
    """
    captured = capture_layer(model, probe, layer, images, forward, cache)
    s = captured.vectors.s
    numbers = check_positions("vectors", vectors, len(s), f"vectors of layer {layer!r}")
    return ProjectionMaps(
        layer,
        torch.tensor([int(image) for image in images]),
        torch.tensor(numbers),
        s[numbers],
        captured.signals()[:, numbers].cpu(),
        captured.images,
    )

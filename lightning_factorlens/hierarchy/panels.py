"""The steps of a layer's computation as panels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lightning_factorlens.hierarchy.layer_capture import capture_layer, fields_of
from lightning_factorlens.hierarchy.layer_vectors import VectorCache
from lightning_factorlens.hierarchy.sample_recorder import channel_column
from lightning_factorlens.results import LayerDecomposition


@torch.no_grad()
def decomposition_panels(
    model: nn.Module,
    probe: Any,
    layer: str,
    image: int = 0,
    *,
    forward: Callable[[Any], Any] | None = None,
    cache: VectorCache | None = None,
) -> LayerDecomposition:
    """Ψ(X), VᵀΨ, SVᵀΨ, Y, what follows, and Uᵀ of it, for one image and any convolution or linear layer.

    Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights: A CNN
    interpretability framework", figure 5. Only singular values that are not zero have a panel. Of a layer that is
    called several times, means over the calls are shown.

    Args:
        model: Any module; it is left as found.
        probe: See `layer_signals`.
        layer: Name of the layer.
        image: Position of the image in the probe.
        forward: See `layer_signals`.
        cache: See `layer_signals`.

    Raises:
        ValueError: No such layer or image, or a layer that cannot be shown, with the reason.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))
        >>> panels = decomposition_panels(model, torch.rand(6, 1, 5, 5), "0", image=2)
        >>> panels.fields.shape, panels.signals.shape, panels.activation_name
        (torch.Size([9, 3, 3]), torch.Size([4, 3, 3]), 'ReLU(Y + B)')
    """
    captured = capture_layer(model, probe, layer, [image], forward, cache)
    grid = captured.grid
    vectors = captured.vectors
    fields = fields_of(captured)
    activation = captured.activation
    if activation is None:
        bias = captured.layer.bias
        activation = captured.outputs
        if bias is not None:
            activation = activation + channel_column(bias, activation)
    assert captured.inputs is not None
    projected = vectors.of_outputs(activation.reshape(*activation.shape[:2], -1))
    return LayerDecomposition(
        layer,
        image,
        inputs=captured.inputs[0].cpu(),
        fields=fields[0].view(-1, *grid).cpu(),
        projections=vectors.of_unscaled_fields(fields)[0].view(-1, *grid).cpu(),
        signals=vectors.of_fields(fields)[0].view(-1, *grid).cpu(),
        outputs=captured.outputs[0].cpu(),
        activation=activation[0].cpu(),
        activation_name=captured.activation_name,
        projected_activation=projected[0].view(-1, *grid).cpu(),
        s=vectors.s,
        group=vectors.group,
    )

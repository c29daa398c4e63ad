"""Feature maps: an image as the units of a layer see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens._validation import check_positions
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.results.unit_pictures import FeatureMaps
from lightning_factorlens.visualization.layer_maps import read_layer_maps
from lightning_factorlens.visualization.probe_pass import bind_forward, select_samples


def feature_maps(
    model: nn.Module,
    probe: Any,
    layer: str,
    units: Sequence[int],
    images: Sequence[int] | None = None,
    *,
    forward_fn: ForwardFn | None = None,
) -> FeatureMaps:
    """The maps of chosen units of chosen images.

    Args:
        model: The model; it is left bit for bit as found.
        probe: Images (N, C, H, W), or a `Probe`, on the model's device.
        layer: Name of a call of the forward pass: the path of a module, or, of a function, such as ``"block.F.relu"``.
        units: Channels of the layer.
        images: Positions of images in the probe; None for all.
        forward_fn: ``(model, batch) → output``, see `FactorLens`; the model itself unless given.

    Returns:
        The maps beside the images.

    Raises:
        ValueError: An unknown layer, unit or image.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
        >>> feature_maps(model, torch.rand(9, 1, 8, 8), "1", units=[0, 3], images=[7, 2]).maps.shape
        torch.Size([2, 2, 6, 6])
    """
    samples = Probe.wrap(probe)
    chosen: Sequence[int] = range(len(samples)) if images is None else images
    chosen = check_positions("images", chosen, len(samples), "images of the probe")

    def of_units(maps: Tensor) -> Tensor:
        """The maps of the units."""
        check_positions("units", units, maps.shape[1], f"units of {layer!r}")
        return maps[:, list(units)].float().cpu()

    passed = samples if images is None else Probe.wrap(select_samples(samples, chosen))
    with isolate_model(model):
        found = read_layer_maps(model, passed, layer, of_units, bind_forward(model, forward_fn))
    maps = found.transpose(0, 1).contiguous()
    return FeatureMaps(layer, tuple(map(int, units)), torch.tensor(chosen), samples.inputs.detach().cpu()[chosen], maps)

"""The images in which units are strongest, or those that the caller has chosen."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from lightning_factorlens._validation import check_positions
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.visualization.layer_maps import read_layer_maps
from lightning_factorlens.visualization.probe_pass import Forward, check_no_nan
from lightning_factorlens.visualization.unit_maps import strongest_values


def images_of_units(
    model: nn.Module,
    samples: Probe,
    layer: str,
    units: Sequence[int],
    images: Sequence[int] | Tensor | None,
    count: int,
    forward: Forward,
) -> Tensor:
    """The images of every unit.

    Args:
        model: The model, inside `isolate_model`.
        samples: The probe.
        layer: Name of a call of the forward pass.
        units: Channels of the layer.
        images: Positions in the probe, shape (n,) for all units or (units, n); None for the images in which each unit
            is strongest.
        count: Number of images where none are given.
        forward: Calls the model.

    Returns:
        Positions in the probe, shape (units, n).

    Raises:
        ValueError: An unknown image; where none are given, an unknown layer or unit.
    """
    if images is None:
        strongest = _strongest_values(model, samples, layer, forward)
        check_positions("units", units, strongest.shape[1], f"units of {layer!r}")
        order = strongest[:, list(units)].argsort(dim=0, descending=True, stable=True)
        return order[:count].T.contiguous()
    if not isinstance(units, Collection) or not len(units):
        raise ValueError(f"units: must be a list with at least one channel of the layer, found {units!r:.200}.")
    chosen = torch.as_tensor(images).cpu()
    check_positions("images", chosen.flatten().tolist(), len(samples), "images of the probe")
    if chosen.ndim == 1:
        return chosen.expand(len(units), -1)
    if chosen.ndim != 2 or len(chosen) != len(units):
        raise ValueError(
            f"images: must have the shape (n,), or (units, n) with {len(units)} rows, found {tuple(chosen.shape)}."
        )
    return chosen


def _strongest_values(model: nn.Module, samples: Probe, layer: str, forward: Forward) -> Tensor:
    """The largest value of every unit in every image, shape (N, units)."""

    def strongest(maps: Tensor) -> Tensor:
        return check_no_nan(layer, strongest_values(maps).float().cpu())

    return read_layer_maps(model, samples, layer, strongest, forward)

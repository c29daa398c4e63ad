"""Units projected back to the pixels: image, feature map and projection below each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_factorlens._validation import check_type
from lightning_factorlens.plots._unit_rows import UnitRow, around_grey, unit_rows_figure
from lightning_factorlens.plots.latent_images import to_rgb
from lightning_factorlens.results.unit_projections import UnitProjections

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Largest number of units, and of images of each.
MAX_UNITS = 4
MAX_IMAGES = 9


def deconvnet_figure(projections: UnitProjections) -> Figure | None:
    """The units' images, what the units make of them, and what the deconvnet projects back; as in the papers.

    Zeiler and Fergus (2014), figure 2; Gulati et al. (2017), figures 11 to 27.

    Args:
        projections: From `visualization.deconvnet` or `FactorLens.deconvnet`.

    Returns:
        The figure, or None where the inputs are no images. Pictures have the ids ``image/<unit>/<place>``,
        ``map/<unit>/<place>`` and ``projection/<unit>/<place>``.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> figure = deconvnet_figure(FactorLens(model).deconvnet(torch.rand(9, 1, 8, 8), "1", [0, 2]))
    """
    check_type("projections", projections, UnitProjections, "pass what FactorLens.deconvnet returns")
    if projections.inputs.ndim != 5:
        return None
    has_maps = projections.maps.ndim == 4
    rows = []
    for index, unit in enumerate(projections.units[:MAX_UNITS]):
        places = range(min(projections.images.shape[1], MAX_IMAGES))
        images = [to_rgb(projections.inputs[index, place]) for place in places]
        is_inactive = bool((projections.maps[index] <= 0).all())
        caption = f"unit {unit}, active in none of its images" if is_inactive else f"unit {unit}"
        rows.append(UnitRow(images, [f"image/{unit}/{place}" for place in places], caption))
        if has_maps:
            maps = [projections.maps[index, place].clamp_min(0).numpy() for place in places]
            rows.append(UnitRow(maps, [f"map/{unit}/{place}" for place in places]))
        projected = [around_grey(projections.projections[index, place]) for place in places]
        rows.append(UnitRow(projected, [f"projection/{unit}/{place}" for place in places]))
    shown = "image, rectified map, projection" if has_maps else "image, projection"
    start = "the strongest position" if projections.start == "strongest" else "the whole map"
    if not has_maps:
        start = "the unit's value"
    back = "switches" if projections.unpool == "switches" else "whole regions"
    explanation = f"from above: {shown}; projected from {start}, max pooling by {back}; grey: zero, each its own scale"
    scale = "1: the largest value of each map" if has_maps else ""
    return unit_rows_figure("Deconvnet", projections.layer, explanation, rows, scale)

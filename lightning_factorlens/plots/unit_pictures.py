"""Weights as images, and the maps that units have of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_factorlens._validation import check_type
from lightning_factorlens.plots._unit_rows import UnitRow, around_grey, unit_rows_figure
from lightning_factorlens.plots.latent_images import to_rgb
from lightning_factorlens.results.unit_pictures import FeatureMaps, WeightPictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Pictures in a row, rows, and channels of a filter that has neither one nor three.
COLUMNS = 8
MAX_ROWS = 8
MAX_UNITS = 8


def weight_pictures_figure(weights: WeightPictures) -> Figure:
    """The weights of units as images, each on its own scale around grey.

    Filters with one or three channels are one picture each; of others, every unit is a row of its first channels.

    Args:
        weights: From `visualization.weight_pictures`.

    Returns:
        The figure. Pictures have the ids ``weights/<unit>``, or ``weights/<unit>/<channel>``.

    Example:
        >>> import torch
        >>> from lightning_factorlens.visualization import weight_pictures
        >>> figure = weight_pictures_figure(weight_pictures(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5)), "0"))
    """
    check_type("weights", weights, WeightPictures, "pass what visualization.weight_pictures returns")
    n_channels = weights.pictures.shape[1]
    rows = []
    if n_channels in (1, 3):
        shown = weights.units[: COLUMNS * MAX_ROWS]
        for start in range(0, len(shown), COLUMNS):
            units = shown[start : start + COLUMNS]
            pictures = [around_grey(weights.pictures[start + place]) for place in range(len(units))]
            rows.append(UnitRow(pictures, [f"weights/{unit}" for unit in units]))
        count = f"{len(shown)} of {len(weights.units)} units"
    else:
        shown = weights.units[:MAX_UNITS]
        channels = range(min(n_channels, COLUMNS))
        for index, unit in enumerate(shown):
            pictures = [around_grey(weights.pictures[index, channel, None]) for channel in channels]
            rows.append(UnitRow(pictures, [f"weights/{unit}/{channel}" for channel in channels], f"unit {unit}"))
        count = f"{len(shown)} of {len(weights.units)} units, {len(channels)} of {n_channels} input channels"
    explanation = f"{count}; grey: zero, bright: positive; every picture has a scale of its own"
    return unit_rows_figure("Weights", weights.layer, explanation, rows)


def feature_maps_figure(maps: FeatureMaps) -> Figure | None:
    """Images, and below them the maps that every unit has of them.

    Args:
        maps: From `visualization.feature_maps` or `FactorLens.feature_maps`.

    Returns:
        The figure, or None where the inputs are no images or the units have no positions. Pictures have the ids
        ``image/<place>`` and ``map/<unit>/<place>``.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> figure = feature_maps_figure(FactorLens(model).feature_maps(torch.rand(9, 1, 8, 8), "1", [0, 2]))
    """
    check_type("maps", maps, FeatureMaps, "pass what FactorLens.feature_maps returns")
    if maps.inputs.ndim != 4 or maps.maps.ndim != 4:
        return None
    places = range(min(len(maps.images), COLUMNS))
    images = [to_rgb(maps.inputs[place]) for place in places]
    rows = [UnitRow(images, [f"image/{place}" for place in places])]
    for index, unit in enumerate(maps.units[:MAX_UNITS]):
        pictures = [maps.maps[index, place].numpy() for place in places]
        bound = max(float(maps.maps[index, : len(places)].abs().amax()), 1e-12)
        rows.append(UnitRow(pictures, [f"map/{unit}/{place}" for place in places], f"unit {unit}", bound))
    explanation = f"{len(places)} of {len(maps.images)} images, and below them the maps of the units"
    return unit_rows_figure("Feature maps", maps.layer, explanation, rows, "1: the largest value of each unit")

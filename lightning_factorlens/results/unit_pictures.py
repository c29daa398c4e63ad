"""Pictures of units: their weights, and their maps of some images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lightning_factorlens.results._short_repr import ShortRepr
from lightning_factorlens.results.plottable import Plottable


@dataclass(frozen=True, eq=False, repr=False)
class WeightPictures(ShortRepr, Plottable):
    """The weights of units of one layer as images; from `weight_pictures`.

    Attributes:
        layer: Name of the layer.
        units: The units (output channels).
        pictures: Shape (units, channels, height, width), float32, on the CPU. NaN fills a picture whose weights have no
            positions and do not fill a rectangle.
    """

    layer: str
    units: tuple[int, ...]
    pictures: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class FeatureMaps(ShortRepr, Plottable):
    """The maps that units of one layer have of some images; from `feature_maps`.

    Attributes:
        layer: Name of the layer.
        units: The units (channels).
        images: Positions of the images in the probe, shape (n,).
        inputs: These images, shape (n, …), on the CPU.
        maps: Shape (units, n, positions, …), float32, on the CPU; of a layer without positions (units, n).
    """

    layer: str
    units: tuple[int, ...]
    images: Tensor
    inputs: Tensor
    maps: Tensor

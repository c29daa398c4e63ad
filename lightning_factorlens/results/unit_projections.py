"""What a deconvnet projects back from units to the pixels, as `visualization` makes it and figures show it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lightning_factorlens.results._short_repr import ShortRepr
from lightning_factorlens.results.plottable import Plottable


@dataclass(frozen=True, eq=False, repr=False)
class UnitProjections(ShortRepr, Plottable):
    """Units of one layer, projected back to the pixels of some images each.

    All tensors are on the CPU.

    Attributes:
        layer: Name of the layer.
        units: The units (channels), of which there are U.
        images: Positions of the images in the probe, shape (U, n).
        inputs: These images, shape (U, n, …).
        maps: The units' feature maps of them, shape (U, n, positions, …); of a layer without positions (U, n).
        projections: What the deconvnet projects back, of the shape of ``inputs``.
        unpool: ``"switches"`` or ``"regions"``.
        start: ``"strongest"`` or ``"map"``.
    """

    layer: str
    units: tuple[int, ...]
    images: Tensor
    inputs: Tensor
    maps: Tensor
    projections: Tensor
    unpool: str
    start: str

"""What the singular vectors of one layer do with some images: panels, exemplary images, heat maps, overlays."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lightning_factorlens.results._short_repr import ShortRepr
from lightning_factorlens.results.plottable import Plottable


@dataclass(frozen=True, eq=False, repr=False)
class LayerDecomposition(ShortRepr, Plottable):
    """The steps of Y = U S Vᵀ Ψ(X) for one image, from `hierarchy.decomposition_panels`.

    Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights: A CNN
    interpretability framework", figure 5. All tensors are on the CPU, float32 or float64. ``grid`` is the layer's own
    grid of positions: (H, W) for a 2d convolution, () for a linear layer of vectors.

    Attributes:
        layer: Name of the layer.
        image: Position of the image in the probe.
        inputs: X, what the weight is applied to, shape (c, …) of a convolution and (…, c) of a linear layer. Where a
            module pads by another mode than zeros, the padding is part of it.
        fields: Ψ(X), shape (groups·c/groups·∏k, *grid).
        projections: VᵀΨ, shape (r, *grid).
        signals: SVᵀΨ, shape (r, *grid).
        outputs: Y = W ⋆ X without bias, shape (d, *grid).
        activation: What follows, shape (d, *grid); see `activation_name`.
        activation_name: ``"ReLU(Y + B)"``; ``"Y + B"`` where no activation of this shape follows; otherwise name and
            kind of the next activation, which comes after a BatchNorm or a sum, or is another function.
        projected_activation: Uᵀ of the activation, shape (r, *grid).
        s: Singular values, shape (r,), float64.
        group: The group of each vector, shape (r,), int64.
    """

    layer: str
    image: int
    inputs: Tensor
    fields: Tensor
    projections: Tensor
    signals: Tensor
    outputs: Tensor
    activation: Tensor
    activation_name: str
    projected_activation: Tensor
    s: Tensor
    group: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Exemplars(ShortRepr, Plottable):
    """The images with the strongest signals of each singular vector of a layer, on both sides.

    It holds their positions: ``plot(inputs=images)`` takes the images of the probe.

    Attributes:
        layer: Name of the layer.
        s: Singular values, shape (r,), float64.
        positive: Positions of the images with the largest signals, shape (r, count), the largest first; of equal ones
            the image that comes first.
        negative: Positions of those with the smallest signals, shape (r, count), the smallest first.
        positive_values: Their signals, shape (r, count).
        negative_values: Their signals, shape (r, count).
    """

    layer: str
    s: Tensor
    positive: Tensor
    negative: Tensor
    positive_values: Tensor
    negative_values: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class ProjectionMaps(ShortRepr, Plottable):
    """Where images excite singular vectors: s_i v_iᵀ Ψ on the layer's own grid.

    Attributes:
        layer: Name of the layer.
        images: Positions of the images in the probe, shape (n,).
        vectors: Numbers of the vectors, shape (k,).
        s: Their singular values, shape (k,), float64.
        maps: Shape (n, k, *grid); the mean over the grid is the signal.
        inputs: The images, shape (n, …).
    """

    layer: str
    images: Tensor
    vectors: Tensor
    s: Tensor
    maps: Tensor
    inputs: Tensor

    @property
    def signals(self) -> Tensor:
        """Mean of every map, shape (n, k)."""
        return self.maps.flatten(2).mean(2) if self.maps.ndim > 2 else self.maps


@dataclass(frozen=True, eq=False, repr=False)
class SimilarityOverlay(ShortRepr, Plottable):
    """Cosine between the activations at every position and those of an anchor.

    Attributes:
        layer: Name of the layer.
        images: Positions of the images in the probe, shape (n,); the first one is that of the anchor.
        position: Position of the anchor on the layer's grid; None where the anchor is the mean over the whole image.
        maps: Shape (n, *grid), from −1 to 1; NaN where a position has no activation.
        inputs: The images, shape (n, …).
    """

    layer: str
    images: Tensor
    position: tuple[int, ...] | None
    maps: Tensor
    inputs: Tensor

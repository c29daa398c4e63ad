"""What TCAV finds: how the scores of classes change along the concepts, layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.results._text import align_table
from lightning_factorlens.results.plottable import Plottable

#: Level at which a corrected p-value counts as significant in tables and figures.
LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class TCAVResult(Plottable):
    """Derivatives of class scores along concept vectors, from `FactorLens.tcav`.

    All tensors are on the CPU. Those of shape (layers, classes, concepts) are float64, and NaN for a concept of which
    nothing is left.

    Attributes:
        layers: Names of the captured layers, by depth.
        classes: Positions of the classes in the model's output; those of which the probe has an image.
        class_counts: Number of images of each class, shape (classes,).
        image_classes: The class of every image, shape (N,); −1 for none. The untrained network is tested with the same
            ones, see `agreement`.
        concept_classes: The class that each concept's images name: that of the largest sum of affinities F. None where
            there is none.
        vector_kind: Which vectors were taken: ``"mean"``, ``"difference"`` or ``"classifier"``.
        vectors: The concept vectors of each layer, shape (concepts, captured features), float32.
        kept_features: Indices of the captured features of each layer; None for all. In the others a vector is zero.
        count: Number of top images of each concept.
        draws: Number of random sets behind the p-values.
        sign_count: Share of the images of the class whose directional derivative is positive.
        mean_derivative: Mean directional derivative over the images of the class.
        p_value: Probability that as many images drawn at random have a mean derivative along their centred mean that
            is as far from zero.
        p_corrected: `p_value`, corrected for the number of tests by Holm's method.
        closed_form: Mean derivative along the factor's own direction, column k of W of the layer, times the mean
            affinity of the top images above that of all images: the part of the mean derivative that is due to the
            factor itself. NaN for layers of which the concepts have no factor.
    """

    layers: tuple[str, ...]
    classes: tuple[int, ...]
    class_counts: Tensor
    image_classes: Tensor
    concept_classes: tuple[int | None, ...]
    vector_kind: str
    vectors: tuple[Tensor, ...]
    kept_features: tuple[Tensor | None, ...]
    count: int
    draws: int
    sign_count: Tensor
    mean_derivative: Tensor
    p_value: Tensor
    p_corrected: Tensor
    closed_form: Tensor

    def strongest_classes(self) -> Tensor:
        """The class of the largest mean derivative, shape (layers, concepts); −1 where there is none."""
        return self._strongest(self.mean_derivative)

    def agreement(self, closed_form: bool = False) -> Tensor:
        """Share of the concepts whose strongest class by gradient is the class that their images name.

        The names and the gradients share images, so this share means nothing without that of the untrained network. An
        untrained network often predicts the same class for all images, with which the strongest class always agrees:
        call its lens with ``classes=trained.image_classes``.

        Args:
            closed_form: Whether the strongest class is that of `closed_form`.

        Returns:
            Shape (layers,), float64; NaN where no concept has both.
        """
        strongest = self._strongest(self.closed_form if closed_form else self.mean_derivative)
        named = torch.tensor([-2 if name is None else name for name in self.concept_classes])
        compared = (strongest >= 0) & (named != -2)
        matches = ((strongest == named) & compared).sum(1).double()
        counts = compared.sum(1)
        return matches / counts.where(counts > 0, math.nan)

    def significant_share(self, level: float = LEVEL) -> Tensor:
        """Share of the pairs of a class and a concept that are significant after the correction, shape (layers,)."""
        tested = self.p_corrected.isfinite().sum((1, 2)).double()
        found = (self.p_corrected <= level).sum((1, 2)).double()
        return found / tested.where(tested > 0, math.nan)

    def constant_share(self) -> Tensor:
        """Share of the sign counts that are 0 or 1, shape (layers,): they cannot tell one concept from another."""
        tested = self.sign_count.isfinite().sum((1, 2)).double()
        constant = ((self.sign_count == 0) | (self.sign_count == 1)).sum((1, 2)).double()
        return constant / tested.where(tested > 0, math.nan)

    def table(self, untrained: TCAVResult | None = None) -> str:
        """The layers, one row each: agreement, significant pairs, and constant sign counts.

        Args:
            untrained: The result of the untrained network, which is shown beside this one; see `agreement`.

        Returns:
            Text of several lines.
        """
        header = ["layer", "agreement", "closed form", "significant", "signs 0 or 1"]
        columns = [self.agreement(), self.agreement(closed_form=True), self.significant_share(), self.constant_share()]
        if untrained is not None:
            header += ["untrained agreement", "untrained significant"]
            columns += [_of_layers(untrained, self.layers, untrained.agreement())]
            columns += [_of_layers(untrained, self.layers, untrained.significant_share())]
        rows = []
        for index, layer in enumerate(self.layers):
            rows.append((layer or "(the model)", *(_share(float(column[index])) for column in columns)))
        lines = align_table(header, rows, right=range(1, len(header)))
        lines.append(self._chance(untrained))
        return "\n".join(lines)

    def concept_table(self, layer: str | None = None) -> str:
        """The concepts in one layer, one row each: the class named by their images, and the strongest by gradient.

        Args:
            layer: Name of the layer; None for the last one.

        Returns:
            Text of several lines.

        Raises:
            KeyError: There is no such layer.
        """
        index = self._position(layer)
        strongest = self.strongest_classes()[index].tolist()
        header = ("concept", "images", "gradient", "mean derivative", "closed form", "sign count", "p corrected")
        rows = []
        for k, (name, best) in enumerate(zip(self.concept_classes, strongest)):
            cells = [str(k), "-" if name is None else str(name), "-" if best < 0 else str(best)]
            if best >= 0:
                place = (index, self.classes.index(best), k)
                cells += [f"{float(self.mean_derivative[place]):.3g}", f"{float(self.closed_form[place]):.3g}"]
                cells += [f"{float(self.sign_count[place]):.2f}", f"{float(self.p_corrected[place]):.2g}"]
            rows.append(tuple(cells + ["-"] * (len(header) - len(cells))))
        return "\n".join(align_table(header, rows, right=range(len(header))))

    def __repr__(self) -> str:
        n_concepts = len(self.concept_classes)
        size = f"{len(self.layers)} layers, {len(self.classes)} classes, {n_concepts} concepts"
        if not self.layers or not self.classes:
            return f"TCAVResult({size})"
        agreement = float(self.agreement()[-1])
        chance = 1 / len(self.classes)
        return f"TCAVResult({size}, agreement in {self.layers[-1]} {agreement:.2f}, chance {chance:.2f})"

    def _strongest(self, values: Tensor) -> Tensor:
        if not self.classes:
            return torch.full((len(self.layers), len(self.concept_classes)), -1)
        best = values.nan_to_num(-math.inf).argmax(1)
        return torch.tensor(self.classes)[best].where(values.isfinite().all(1), -1)

    def _position(self, layer: str | None) -> int:
        if layer is None and self.layers:
            return len(self.layers) - 1
        if layer not in self.layers:
            raise KeyError(f"no layer {layer!r}; the layers are {', '.join(map(repr, self.layers))}")
        return self.layers.index(layer)

    def _chance(self, untrained: TCAVResult | None) -> str:
        chance = f"chance of an agreement {1 / max(len(self.classes), 1):.2f}"
        if untrained is None:
            return f"{chance}; without the untrained network beside it, significance proves nothing"
        if untrained.classes != self.classes:
            other = 1 / max(len(untrained.classes), 1)
            return f"{chance}, of the untrained network {other:.2f}; pass it classes=trained.image_classes"
        return chance


def _of_layers(result: TCAVResult, layers: tuple[str, ...], values: Tensor) -> Tensor:
    """The values of these layers; NaN for layers that the result does not have."""
    found = []
    for layer in layers:
        found.append(float(values[result.layers.index(layer)]) if layer in result.layers else math.nan)
    return torch.tensor(found, dtype=torch.float64)


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"

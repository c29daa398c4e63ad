"""Pictures of what units of a network respond to, and what the probe's images say beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lightning_factorlens.results._short_repr import ShortRepr
from lightning_factorlens.results._text import align_table
from lightning_factorlens.results.plottable import Plottable
from lightning_factorlens.results.record import Record, Value


@dataclass(frozen=True, eq=False, repr=False)
class FeatureVisualization(ShortRepr, Plottable):
    """Optimised pictures of T objectives. All tensors are on the CPU.

    A score above that of the best real image shows that the optimisation works, not that the network has learned
    something: that of an untrained network does the same. The cosines tell whether the layer answers the picture as it
    answers the real images.

    Attributes:
        names: The objectives in words, one for each picture.
        preset: Name of the preset, or ``"custom"``.
        pictures: Shape (T, C, H, W), from 0 to 1.
        low: Input value of a picture's 0, shape (C,).
        high: Input value of a picture's 1, shape (C,).
        scores: The score of each picture as it is, without random transformations, shape (T,).
        history: The score in every step, shape (steps, T); NaN after the picture has converged.
        best_scores: The largest score of a real image, shape (T,).
        exemplars: Positions in the probe of the real images of the largest scores, the largest first, shape (T, n).
        exemplar_images: All of these images, each once, shape (M, C, H, W), from 0 to 1.
        exemplar_index: Their positions in ``exemplar_images``, shape (T, n).
        is_live: Whether the scores of the real images differ at all, shape (T,).
        exemplar_cosine: Mean cosine of the layer's mean output for the picture with that for each of the exemplars,
            shape (T,). The layer is that of the objective's first term.
        probe_cosine: Mean cosine of the layer's mean output for the picture with that for each real image, shape (T,).
        variation: Total variation of each picture, relative to the mean of the real images, shape (T,).
        n_passed: Images that have passed through the model while pictures were optimised, a transformed picture as one.
    """

    names: tuple[str, ...]
    preset: str
    pictures: Tensor
    low: Tensor
    high: Tensor
    scores: Tensor
    history: Tensor
    best_scores: Tensor
    exemplars: Tensor
    exemplar_images: Tensor
    exemplar_index: Tensor
    is_live: Tensor
    exemplar_cosine: Tensor
    probe_cosine: Tensor
    variation: Tensor
    n_passed: int

    def __len__(self) -> int:
        return len(self.names)

    def exemplar_pictures(self, index: int) -> Tensor:
        """The exemplars beside one picture, from 0 to 1, the one of the largest score first, shape (n, C, H, W)."""
        return self.exemplar_images[self.exemplar_index[index]]

    @property
    def inputs(self) -> Tensor:
        """The pictures as the model receives them, in float32, shape (T, C, H, W)."""
        low, high = self.low[:, None, None], self.high[:, None, None]
        return low + (high - low) * self.pictures

    @property
    def is_above(self) -> Tensor:
        """Whether the score of each picture is above that of every real image, shape (T,)."""
        return self.scores > self.best_scores

    @property
    def share_above(self) -> float:
        """Share of the live objectives whose picture is above every real image; NaN without a live one."""
        return float(self.is_above[self.is_live].float().mean())

    @property
    def steps(self) -> Tensor:
        """Number of steps of each picture, shape (T,)."""
        return torch.isfinite(self.history).sum(0)

    def table(self) -> str:
        """The pictures, one row each: score beside the best real image, cosines, total variation and steps.

        Returns:
            Text of several lines.
        """
        header = ("objective", "score", "best real", "cos exemplars", "cos all", "variation", "steps")
        rows = []
        for index, name in enumerate(self.names):
            row = [name if self.is_live[index] else f"{name} (constant)"]
            row += [f"{float(values[index]):.4g}" for values in (self.scores, self.best_scores)]
            row += [
                f"{float(values[index]):.2f}" for values in (self.exemplar_cosine, self.probe_cosine, self.variation)
            ]
            rows.append((*row, str(int(self.steps[index]))))
        lines = align_table(header, rows, right=range(1, len(header)))
        share = f"{self.share_above:.2f}" if bool(self.is_live.any()) else "-"
        lines.append(f"share of the live objectives above every real image {share}; this is no sign of learning, since")
        lines.append("untrained networks reach 1.00 as well")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False, repr=False)
class UnitPicturesRecord(ShortRepr, Record, Plottable):
    """The pictures of one observation.

    Attributes:
        layers: Names of the layers.
        exemplar_cosines: Mean exemplar cosine of the live pictures of each layer, see `FeatureVisualization`.
        probe_cosines: Mean probe cosine of these pictures.
        found: The pictures; None in histories.
    """

    layers: tuple[str, ...]
    exemplar_cosines: tuple[float, ...]
    probe_cosines: tuple[float, ...]
    found: FeatureVisualization | None = None

    def values(self) -> Iterator[Value]:
        """Two values for each layer."""
        for layer, near, far in zip(self.layers, self.exemplar_cosines, self.probe_cosines):
            yield Value("picture_exemplar_cosine", near, layer)
            yield Value("picture_probe_cosine", far, layer)

    def without_tensors(self) -> UnitPicturesRecord:
        """A copy without the pictures."""
        return replace(self, found=None)

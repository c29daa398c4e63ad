"""What the pictures of a batch are optimised for: their scores, and the penalties."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.visualization.diversity import alikeness
from lightning_factorlens.visualization.image_statistics import ImageStatistics, total_variation
from lightning_factorlens.visualization.layer_reader import LayerReader
from lightning_factorlens.visualization.scores import Scores
from lightning_factorlens.visualization.settings import Settings


@dataclass(frozen=True, eq=False)
class Problem:
    """What the pictures of a batch are optimised for.

    Attributes:
        reader: Reads the layers.
        scores: Picture i has objective i.
        scales: What a score is divided by, shape (n,).
        settings: The options.
        statistics: Range, colours and spectrum of the probe's images.
        n_alike: Number of neighbouring pictures that have the same objective.
        diversity_layer: The layer in which these are to differ, and the axis of its channels.
    """

    reader: LayerReader
    scores: Scores
    scales: Tensor
    settings: Settings
    statistics: ImageStatistics
    n_alike: int
    diversity_layer: tuple[str, int]

    def pictures(self, parameters: Tensor) -> Tensor:
        """The pictures that parameters describe."""
        return self.settings.parametrization.pictures(parameters, self.statistics)

    def scores_and_penalties(self, pictures: Tensor, seen: Tensor, scores: Scores) -> tuple[Tensor, Tensor]:
        """The score of every picture, and what its gain loses, in units of the scale.

        Args:
            pictures: Shape (n, C, H, W), from 0 to 1.
            seen: The pictures after their random transformations.
            scores: The objectives of these pictures.

        Returns:
            Scores and penalties, shape (n,).
        """
        settings = self.settings
        total = torch.zeros(len(seen), device=seen.device)
        penalty = torch.zeros_like(total)

        def read(layer: str, output: Tensor) -> None:
            nonlocal total, penalty
            total = scores.own(layer, output, total)
            if self.n_alike > 1 and settings.diversity and layer == self.diversity_layer[0]:
                alike = alikeness(output, self.diversity_layer[1], self.n_alike)
                penalty = penalty + settings.diversity * alike.to(penalty.device)

        self.reader.run(self.statistics.inputs(seen), read)
        if settings.variation_limit is not None:
            variation = total_variation(pictures) / self.statistics.total_variation
            penalty = penalty + settings.variation_weight * (variation - settings.variation_limit).clamp_min(0)
        return total, penalty

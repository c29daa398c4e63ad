"""What `FactorLens` shows of single units: pictures that they respond to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning_factorlens.lens_methods import LensMethods
from lightning_factorlens.results import FeatureVisualization
from lightning_factorlens.visualization import Objective, Settings, visualize
from lightning_factorlens.visualization.feature_visualization import Progress


class VisualizationMethods(LensMethods):
    """The methods of `FactorLens` for pictures of what units respond to; see there for the attributes."""

    def visualize(
        self,
        probe: Any,
        objectives: Objective | Sequence[Objective],
        preset: str | Settings = "faithful",
        *,
        pictures: int = 1,
        value_range: tuple[float, float] | None = None,
        exemplars: int = 9,
        seed: int | None = None,
        progress: Progress | None = None,
    ) -> FeatureVisualization:
        """Finds the pictures that maximise objectives, all in as few batches as memory allows.

        Args:
            probe: See `observe`. Shape, range and colours of the pictures are those of its images.
            objectives: See `visualization.visualize`, as for the other arguments. `visualization.leading_vectors` lists
                the singular vectors of a layer.
            preset: ``"faithful"``, ``"natural"``, or settings.
            pictures: Number of pictures of each objective.
            value_range: Smallest and largest value of a pixel that the model may receive; those of the probe unless
                given.
            exemplars: Number of real images that are kept beside each picture.
            seed: Of the random values; that of the options unless given.
            progress: Receives how many steps of single pictures are done, and how many there are at most.

        Returns:
            The pictures and what the real images say beside them; `plots.feature_visualization_figure` shows them.

        Raises:
            ValueError: As `visualization.visualize` raises it, or the lens divides its work between several processes.

        Example:
            >>> import torch
            >>> from torch import nn
            >>> from lightning_factorlens import FactorLens
            >>> from lightning_factorlens.visualization import leading_vectors
            >>> _ = torch.manual_seed(0)
            >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
            >>> found = FactorLens(model).visualize(torch.rand(20, 1, 8, 8), leading_vectors(model, "3", 2))
            >>> found.names
            ('3 vector 0', '3 vector 1')
        """
        self._check_one_process("pictures of units")
        runner = self._runner()
        return visualize(
            self.model,
            runner.wrap(probe),
            objectives,
            preset,
            pictures=pictures,
            value_range=value_range,
            exemplars=exemplars,
            seed=self.options.seed if seed is None else seed,
            forward_fn=runner.forward_fn,
            forward_context=runner.forward_context,
            output_part=self.output_decision.path,
            progress=progress,
        )

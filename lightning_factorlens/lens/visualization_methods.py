"""What `FactorLens` shows of single units: pictures that they respond to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, TypeVar

from torch import Tensor

from lightning_factorlens.lens.method_base import LensMethods
from lightning_factorlens.results import FeatureVisualization
from lightning_factorlens.results.node_health import NodeHealthResult
from lightning_factorlens.results.node_importance import NodeImportance
from lightning_factorlens.results.unit_pictures import FeatureMaps
from lightning_factorlens.results.unit_projections import UnitProjections
from lightning_factorlens.visualization import (
    Objective,
    Settings,
    deconvnet,
    feature_maps,
    node_health,
    node_importance,
    visualize,
)
from lightning_factorlens.visualization.deconvnet import Start
from lightning_factorlens.visualization.deconvnet_rules import Unpool
from lightning_factorlens.visualization.feature_visualization import Progress
from lightning_factorlens.visualization.node_health import LEVEL, RATE

T = TypeVar("T")


class VisualizationMethods(LensMethods):
    """The methods of `FactorLens` for pictures of what units respond to.

    The docstring of `FactorLens` describes the attributes.
    """

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
            seed: Seed of the random values; that of the options unless given.
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

    def deconvnet(
        self,
        probe: Any,
        layer: str,
        units: Sequence[int],
        images: Sequence[int] | Tensor | None = None,
        *,
        count: int = 9,
        unpool: Unpool = "switches",
        start: Start = "strongest",
    ) -> UnitProjections:
        """Projects units of any layer back to the pixels, see `visualization.deconvnet`.

        Args:
            probe: See `observe`.
            layer: Name of a call of the forward pass, as in `layer_table`.
            units: Channels of the layer.
            images: Positions of images in the probe; None for the ``count`` images in which each unit is strongest.
            count: Number of images of each unit where none are given.
            unpool: What max poolings do with what comes back: ``"switches"`` or ``"regions"``.
            start: ``"strongest"``, the position at which the unit is strongest; or ``"map"``, all.

        Returns:
            The projections; `plots.deconvnet_figure` shows them.

        Raises:
            ValueError: As `visualization.deconvnet` raises it, or the lens divides its work between several processes.

        Example:
            >>> import torch
            >>> from torch import nn
            >>> from lightning_factorlens import FactorLens
            >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
            >>> FactorLens(model).deconvnet(torch.rand(20, 1, 8, 8), "1", [2]).projections.shape
            torch.Size([1, 9, 1, 8, 8])
        """
        project = partial(deconvnet, layer=layer, units=units, images=images, count=count, unpool=unpool, start=start)
        return self._of_units("projections of units", probe, project)

    def node_importance(self, probe: Any, layers: Collection[str] | None = None) -> NodeImportance:
        """Measures how much of every image arrives at every unit, see `visualization.node_importance`.

        Args:
            probe: See `observe`.
            layers: Names of convolutions and linear layers; None for all.

        Returns:
            z, the top images and the norms of every layer, and the activation beside them.

        Raises:
            ValueError: As `visualization.node_importance` raises it, or the lens divides its work between several
                processes.
        """
        return self._of_units("importances of units", probe, partial(node_importance, layers=layers))

    def node_health(
        self, probe: Any, layers: Collection[str] | None = None, *, rate: float | None = RATE, level: float = LEVEL
    ) -> NodeHealthResult:
        """Tests which units are dead, rarely active or active in single pixels, see `visualization.node_health`.

        Args:
            probe: See `observe`.
            layers: Names of calls of the forward pass; None for all activation functions.
            rate: Share of the images in which a unit must be active not to be dead or rare; None for the smallest that
                so many images can decide.
            level: The false discovery rate among the units of a layer.

        Returns:
            The verdicts; ``print(result.table())``.

        Raises:
            ValueError: As `visualization.node_health` raises it, or the lens divides its work between several
                processes.
        """
        test = partial(node_health, layers=layers, rate=rate, level=level)
        return self._of_units("verdicts on units", probe, test)

    def feature_maps(
        self, probe: Any, layer: str, units: Sequence[int], images: Sequence[int] | None = None
    ) -> FeatureMaps:
        """The maps of chosen units of chosen images, see `visualization.feature_maps`.

        Args:
            probe: See `observe`.
            layer: Name of a call of the forward pass, as in `layer_table`.
            units: Channels of the layer.
            images: Positions of images in the probe; None for all.

        Returns:
            The maps; `plots.feature_maps_figure` shows them.

        Raises:
            ValueError: As `visualization.feature_maps` raises it, or the lens divides its work between several
                processes.
        """
        maps = partial(feature_maps, layer=layer, units=units, images=images)
        return self._of_units("maps of units", probe, maps)

    def _of_units(self, what: str, probe: Any, function: Callable[..., T]) -> T:
        """The result of a function of the model, a probe and the function that calls the model.

        Args:
            what: What is found, in the plural.
            probe: See `observe`.
            function: Takes the model, the samples and ``forward_fn``.
        """
        self._check_one_process(what)
        runner = self._runner()
        with runner.forward_context():
            return function(self.model, runner.wrap(probe), forward_fn=runner.forward_fn)

"""What `FactorLens` shows of one layer in the basis of its singular vectors: panels, heat maps and overlays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.hierarchy import decomposition_panels, projection_maps, similarity_overlay
from lightning_factorlens.lens.method_base import LensMethods
from lightning_factorlens.results import LayerDecomposition, ProjectionMaps, SimilarityOverlay

T = TypeVar("T")


class LayerMethods(LensMethods):
    """The methods of `FactorLens` for the computation of one layer.

    The docstring of `FactorLens` describes the attributes.
    """

    def panels(self, probe: Any, layer: str, image: int = 0) -> LayerDecomposition:
        """Every step of a layer's computation for one sample in the basis of its singular vectors.

        See `decomposition_panels`, which has the arguments and errors, and `plots.decomposition_figure`.

        Args:
            probe: See `observe`.
            layer: Name of the layer.
            image: Position of the sample in the probe.
        """
        return self._of_one_layer(probe, partial(decomposition_panels, self.model, layer=layer, image=image))

    def projections(self, probe: Any, layer: str, images: Sequence[int], vectors: Sequence[int]) -> ProjectionMaps:
        """Where some samples excite some singular vectors of a layer: heat maps whose means are the signals.

        See `projection_maps`, which has the arguments and errors, and `plots.projection_figure`.

        Args:
            probe: See `observe`.
            layer: Name of the layer.
            images: Positions of the samples in the probe.
            vectors: Numbers of the singular vectors, from 0.
        """
        maps = partial(projection_maps, self.model, layer=layer, images=images, vectors=vectors)
        return self._of_one_layer(probe, maps)

    def overlay(
        self,
        probe: Any,
        layer: str,
        anchor: int,
        others: Sequence[int] = (),
        position: Sequence[int] | Literal["largest", "image"] = "largest",
    ) -> SimilarityOverlay:
        """Which positions of some samples are to a layer like one position of an anchor.

        See `similarity_overlay`, which has the arguments and errors, and `plots.overlay_figure`.

        Args:
            probe: See `observe`.
            layer: Name of the layer.
            anchor: Position of the anchor's sample in the probe.
            others: Positions of the samples that are compared with it.
            position: Where in its sample the anchor is.
        """
        overlay = partial(similarity_overlay, self.model, layer=layer, anchor=anchor, others=others, position=position)
        return self._of_one_layer(probe, overlay)

    def _of_one_layer(self, probe: Any, function: Callable[..., T]) -> T:
        """The result of a function that takes a probe and what calls the model."""
        self._check_one_process("panels, heat maps and overlays")
        runner = self._runner()

        def measure(samples: Probe, forward: Callable[[Any], Any]) -> T:
            return function(samples, forward=forward)

        return runner.map_samples(self._samples(probe), measure)[0]

"""Pictures that the leading singular vectors of some layers respond to; not a default measurement."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from lightning_factorlens._validation import check_choice, check_int
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.sharded_parameters import sharded_parameters
from lightning_factorlens.measurements.base import FigureSpec, Measurement
from lightning_factorlens.measurements.cadence import is_due
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.missing_outputs import absence_note
from lightning_factorlens.measurements.scalar import Scalar
from lightning_factorlens.plots.feature_visualization import feature_visualization_figure
from lightning_factorlens.plots.style import when
from lightning_factorlens.results import FeatureVisualization, Observation, UnitPicturesRecord
from lightning_factorlens.visualization import SingularVector, leading_vectors, visualize
from lightning_factorlens.visualization.settings import PRESETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Name of the measurement and of its record.
NAME = "unit_pictures"
CHART = "pictures of units: the layer's answers"


def _figure(history: Sequence[Observation]) -> Figure | None:
    record = history[-1].get(NAME)
    if record is None or record.found is None:
        return None
    return feature_visualization_figure(record.found, f"What singular vectors respond to, {when(history[-1])}")


@dataclass(frozen=True)
class UnitPictures(Measurement):
    """Pictures of the leading singular vectors of chosen layers, so that one sees them form; see `visualize`.

    Eight vectors cost about half a forward pass of a probe of 1,000 images. They need one more pass of the probe.

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> lens = FactorLens(model, measurements=[UnitPictures(layers=("0",), count=2)])
        >>> lens.observe(torch.rand(32, 1, 8, 8))["unit_pictures"].found.names
        ('0 vector 0', '0 vector 1')

    Attributes:
        layers: Names of convolutions and linear layers.
        count: Number of vectors of each layer, those of the largest singular values.
        preset: ``"natural"`` or ``"faithful"``.
        every: The pictures are made at the first full observation, and then at every n-th.
    """

    layers: tuple[str, ...]
    count: int = 4
    preset: str = "natural"
    every: int = 1

    name: ClassVar[str] = NAME
    needs: ClassVar[frozenset[str]] = frozenset({"forward"})
    scalars: ClassVar[tuple[Scalar, ...]] = (
        Scalar(
            "picture_exemplar_cosine",
            "{prefix}_pictures/{scope}/exemplar_cosine",
            "Cosine of the layer's mean output for the picture of a singular vector with that for its nine best real "
            "images; mean over the leading vectors.",
            reading="The closer to 1, the more the layer takes the pictures for what their real images are.",
            chart=CHART,
            detail="layers",
        ),
        Scalar(
            "picture_probe_cosine",
            "{prefix}_pictures/{scope}/probe_cosine",
            "The same with all real images.",
            chart=CHART,
            detail="layers",
        ),
    )
    figures: ClassVar[tuple[FigureSpec, ...]] = (
        FigureSpec(
            "unit_pictures",
            _figure,
            "What the leading singular vectors of the chosen layers respond to, beside the real images of the largest "
            "signals. A score above that of all real images is no sign of learning.",
            record=NAME,
        ),
    )

    def __post_init__(self) -> None:
        if not isinstance(self.layers, tuple) or not self.layers:
            raise ValueError(f"layers: must be a tuple with the names of at least one layer, found {self.layers!r}.")
        check_int("count", self.count, 1)
        check_int("every", self.every, 1)
        check_choice("preset", self.preset, PRESETS)

    def measure(self, context: Context) -> UnitPicturesRecord | None:
        """Makes the pictures where that is due, by process 0 for all."""
        if not is_due(context, self.every):
            return None
        problem = _problem(context)
        objectives = [] if problem else self._objectives(context)
        if not problem and not objectives:
            problem = f"the weights of {', '.join(map(repr, self.layers))} are zero or not finite."
        if problem:
            context.note(absence_note(NAME, problem))
            return None

        def run(_: Probe, call: Callable[[Any], Any]) -> UnitPicturesRecord | None:
            """The pictures; None in the other processes."""
            if context.process_group.rank > 0:
                return None
            found = visualize(
                context.model,
                context.probe,
                objectives,
                self.preset,
                seed=context.options.seed,
                forward_fn=lambda _model, data: call(data),
            )
            return self._record(found)

        return context.map_samples(run)[0]

    def _objectives(self, context: Context) -> list[SingularVector]:
        """The vectors in the order of the figure: the first of every layer, then the second ones."""
        by_layer = [leading_vectors(context.model, layer, self.count) for layer in self.layers]
        ordered = []
        for place in range(self.count):
            for vectors in by_layer:
                ordered += vectors[place : place + 1]
        return ordered

    def _record(self, found: FeatureVisualization) -> UnitPicturesRecord:
        near, far = [], []
        for layer in self.layers:
            is_of_layer = torch.tensor([name.startswith(f"{layer} vector ") for name in found.names])
            rows = is_of_layer & found.is_live
            near.append(_mean(found.exemplar_cosine[rows]))
            far.append(_mean(found.probe_cosine[rows]))
        return UnitPicturesRecord(self.layers, tuple(near), tuple(far), found)


def _problem(context: Context) -> str:
    """Why there are no pictures; empty if there are."""
    if sharded_parameters(context.model):
        return "the model's parameters are sharded between processes."
    inputs = context.probe.inputs
    if inputs.ndim != 4 or not inputs.is_floating_point():
        return f"the inputs are no images (N, C, H, W) of floating-point numbers but {tuple(inputs.shape)}."
    return ""


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else math.nan

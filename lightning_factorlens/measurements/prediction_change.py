"""Change of the predictions since the last observation; not a default measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_factorlens.measurements.base import Measurement
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.missing_outputs import no_value
from lightning_factorlens.measurements.scalar import Scalar
from lightning_factorlens.metrics.prediction_changes import mean_total_variation, prediction_changes
from lightning_factorlens.metrics.probabilities import count_missing

CHART = "change of the predictions since the last observation"


@dataclass(frozen=True)
class PredictionChange(Measurement):
    """Fraction of changed classes and mean total variation between two observations.

    See `lightning_factorlens.metrics.prediction_changes`.
    """

    name: ClassVar[str] = "prediction_change"
    needs: ClassVar[frozenset[str]] = frozenset({"class_scores"})
    scalars: ClassVar[tuple[Scalar, ...]] = (
        Scalar(
            "prediction_changes",
            "{prefix}/prediction_changes",
            "Fraction of the samples whose predicted class changed since the last observation.",
            reading="Under an annealed learning rate it falls with the rate, whatever the network learns.",
            chart=CHART,
            monitored=True,
        ),
        Scalar(
            "mean_total_variation",
            "{prefix}/mean_total_variation",
            "Mean total variation between the predictions of two observations.",
            chart=CHART,
            monitored=True,
        ),
    )

    def measure(self, context: Context) -> dict[str, float] | None:
        """Compares the outputs with those kept at the last observation; nothing at the first."""
        outputs = context.class_scores
        context.keep_state({"outputs": outputs})
        if context.state is None or context.state["outputs"].shape != outputs.shape:
            return None
        previous = context.state["outputs"].to(outputs)
        if count_missing(previous) or count_missing(outputs):
            context.note(no_value(self.name, {"outputs": outputs, "outputs of the last observation": previous}))
        is_probability = context.output_decision.is_probability
        return {
            "prediction_changes": prediction_changes(previous, outputs),
            "mean_total_variation": mean_total_variation(previous, outputs, is_probability),
        }

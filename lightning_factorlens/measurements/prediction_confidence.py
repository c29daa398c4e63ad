"""Confidence of the predictions and their distribution over the classes; not a default measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_factorlens.measurements.base import Measurement
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.missing_outputs import no_value
from lightning_factorlens.measurements.scalar import Scalar
from lightning_factorlens.metrics.confidence import confidence, entropy, mutual_information
from lightning_factorlens.metrics.nuclear_norm import nuclear_norm
from lightning_factorlens.metrics.probabilities import count_missing

CHART = "confidence of the predictions"


def _declare(quantity: str, text: str, unit: str = "") -> Scalar:
    return Scalar(quantity, f"{{prefix}}/{quantity}", text, unit=unit, chart=CHART, monitored=True)


@dataclass(frozen=True)
class PredictionConfidence(Measurement):
    """Confidence, entropy, mutual information and nuclear norm of the predicted probabilities.

    All four rise or fall with training whatever the network learns, because over-fitted networks are confident too.
    They describe a run and are no stop signals.
    """

    name: ClassVar[str] = "prediction_confidence"
    needs: ClassVar[frozenset[str]] = frozenset({"class_scores"})
    scalars: ClassVar[tuple[Scalar, ...]] = (
        _declare("confidence", "Mean over samples of the largest predicted probability."),
        _declare("prediction_entropy", "Mean over samples of the entropy of the prediction.", "nats"),
        _declare("mutual_information", "Entropy of the mean prediction minus the mean entropy.", "nats"),
        _declare("nuclear_norm", "Nuclear norm of the matrix of predictions over its largest possible value."),
    )

    def measure(self, context: Context) -> dict[str, float]:
        """Reads the model's class scores for the probe."""
        outputs = context.class_scores
        is_probability = context.output_decision.is_probability
        if count_missing(outputs):
            context.note(no_value(self.name, {"outputs": outputs}))
        return {
            "confidence": confidence(outputs, is_probability),
            "prediction_entropy": entropy(outputs, is_probability),
            "mutual_information": mutual_information(outputs, is_probability),
            "nuclear_norm": nuclear_norm(outputs, is_probability),
        }

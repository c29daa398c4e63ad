"""Consistency of the predictions under small shifts of the probe: a signal for stopping without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lightning_factorlens._validation import check_int
from lightning_factorlens.measurements.base import FigureSpec, Measurement
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.dashboard import DASHBOARD
from lightning_factorlens.measurements.history import HISTORY
from lightning_factorlens.measurements.missing_outputs import absence_note, no_value
from lightning_factorlens.measurements.scalar import Scalar
from lightning_factorlens.metrics.consistency import alternating_shift, consistency, default_shift
from lightning_factorlens.metrics.stop_signal import (
    LEAST_DISTINCTION,
    accuracy_signal,
    distinction,
    loss_signal,
    memorization_gap,
)
from lightning_factorlens.metrics.temporal_ensemble import TemporalEnsemble


@dataclass(frozen=True)
class Consistency(Measurement):
    """Cross-entropy of the predictions under small shifts against a temporal ensemble, plus KL(mean ‖ uniform).

    See `lightning_factorlens.metrics.consistency.consistency` for the equation.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3), torch.nn.Softmax(1))
        >>> for parameter in model.parameters():
        ...     _ = torch.nn.init.zeros_(parameter)
        >>> lens = FactorLens(model, measurements=[Consistency()])
        >>> round(lens.observe(torch.rand(8, 1, 8, 8))["consistency"]["consistency"], 4)  # log 3
        1.0986

    Attributes:
        shift: Pixels of the shift; None for a sixteenth of the image, 0 for no measurement.
    """

    shift: int | None = None

    name: ClassVar[str] = "consistency"
    needs: ClassVar[frozenset[str]] = frozenset({"class_scores", "forward"})
    is_signal: ClassVar[bool] = True
    scalars: ClassVar[tuple[Scalar, ...]] = (
        Scalar(
            "consistency",
            "{prefix}/consistency",
            "Cross-entropy of the predictions for slightly shifted images against the network's averaged predictions "
            "for the images themselves, plus how unevenly the classes are predicted.",
            reading="It falls while the network learns. Where it stays more than a tenth above its lowest, that is a "
            "sign of memorisation or of over-confidence; a small rise that levels off is normal.",
            unit="nats",
            better="lower",
            chart="consistency under small shifts, nats",
            monitored=True,
            summary=True,
        ),
        Scalar(
            "loss_signal",
            "{prefix}/loss_signal",
            "Cross-entropy against the network's averaged predictions, shifted and not, plus three times how unevenly "
            'the classes are predicted, plus the memorisation gap: what LabelFreeStopping(target="loss") reads.',
            reading="Its lowest value is near the lowest test loss. It begins when the network tells its inputs apart.",
            unit="nats",
            better="lower",
            chart="stop signals",
            monitored=True,
        ),
        Scalar(
            "accuracy_signal",
            "{prefix}/accuracy_signal",
            "loss_signal plus half the fraction of the inputs whose predicted class differs from that of the averaged "
            "predictions: the default of LabelFreeStopping.",
            reading="The epoch of its lowest smoothed value is kept. It begins when the network tells its inputs "
            "apart.",
            better="lower",
            chart="stop signals",
            monitored=True,
        ),
        Scalar(
            "memorization_gap",
            "{prefix}/memorization_gap",
            "Mean entropy of the predictions for the probe minus the mean training loss since the last observation, 0 "
            "if that is negative.",
            reading="It grows while the network fits its training data better than it knows new inputs.",
            unit="nats",
            chart="memorisation gap, nats",
        ),
    )
    figures: ClassVar[tuple[FigureSpec, ...]] = (DASHBOARD, HISTORY)

    def __post_init__(self) -> None:
        check_int("shift", self.shift, 0, or_none="a sixteenth of the image")

    def measure(self, context: Context) -> dict[str, float] | None:
        """Sends the shifted probe through the model, and updates the temporal ensemble."""
        outputs = context.class_scores
        shifted = self._shifted_outputs(context)
        if shifted is None:
            if self.shift == 0:
                context.note(absence_note(self.name, "shift=0 switches it off"))
                return None
            if context.probe.inputs.ndim != 4:
                reason = "the inputs are not images (N, C, H, W), which could be shifted"
            elif min(context.probe.inputs.shape[-2:]) < 4:
                reason = "the images are smaller than 4 × 4 pixels"
            else:
                reason = "the output for shifted images has another shape"
            context.note(absence_note(self.name, f"{reason}. {context.output_decision.alternatives}"))
            return None
        is_probability = context.output_decision.is_probability
        ensemble = TemporalEnsemble(average=self._previous_average(context, outputs))
        labels = ensemble.update(outputs, is_probability)
        value = consistency(outputs, shifted, labels, is_probability)
        if not math.isfinite(value):
            context.note(no_value(self.name, {"outputs": outputs, "outputs for shifted images": shifted}))
        found = {"consistency": value, "loss_signal": math.nan, "accuracy_signal": math.nan}
        found["memorization_gap"] = math.nan
        if not context.is_trained or ensemble.average is None:
            return found  # an untrained network's predictions enter neither the ensemble nor a signal
        has_begun = self._has_begun(context, outputs, is_probability)
        context.keep_state({"average": ensemble.average, "has_begun": has_begun})
        training_loss = _cross_entropy_of_training(context)
        if training_loss is not None:
            found["memorization_gap"] = memorization_gap(outputs, training_loss, is_probability)
        if not has_begun and math.isfinite(value):
            context.note(absence_note("loss_signal", "the network does not tell the inputs apart yet."))
        elif training_loss is not None and not math.isfinite(training_loss):
            context.note(absence_note("loss_signal", "the training loss is NaN or infinite."))
        if has_begun:
            found["loss_signal"] = loss_signal(outputs, shifted, labels, training_loss, is_probability)
            found["accuracy_signal"] = accuracy_signal(found["loss_signal"], outputs, labels)
        return found

    def _has_begun(self, context: Context, outputs: Tensor, is_probability: bool | None) -> bool:
        """Whether this or an earlier observation has told its inputs apart."""
        if context.state is not None and context.state.get("has_begun", False):
            return True
        return distinction(outputs, is_probability) >= LEAST_DISTINCTION

    def _shifted_outputs(self, context: Context) -> Tensor | None:
        """None where a shift has no meaning, or where the outputs for shifted images are not (N, K) numbers."""
        probe = context.probe
        pixels = default_shift(probe.inputs) if self.shift is None else self.shift
        if not pixels or probe.inputs.ndim != 4:
            return None
        shifted_probe = probe.map_inputs(lambda images: alternating_shift(images, pixels))
        if shifted_probe is None:
            return None
        found = context.forward([shifted_probe], context.class_scores)
        return found[0] if found else None

    def _previous_average(self, context: Context, outputs: Tensor) -> Tensor | None:
        """The ensemble of earlier observations, where it belongs to as many samples and classes."""
        if not context.is_trained or context.state is None:
            return None
        average: Tensor = context.state["average"]
        return average if average.shape == outputs.shape else None


def _cross_entropy_of_training(context: Context) -> float | None:
    """The mean training loss; None, with a note, where it is negative, which a cross-entropy never is."""
    training_loss = context.training_loss
    if training_loss is not None and training_loss < 0:
        context.note(absence_note("memorization_gap", f"the training loss, {training_loss:.3g}, is no cross-entropy."))
        return None
    return training_loss

"""Change of the model's output under small perturbations of its input, for inputs and outputs of every kind."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lightning_factorlens.capture.outputs import OutputDecision
from lightning_factorlens.measurements.base import Measurement
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.missing_outputs import absence_note
from lightning_factorlens.measurements.scalar import Scalar
from lightning_factorlens.metrics.agreement import (
    Agreement,
    ClassAgreement,
    CosineDistance,
    LabelAgreement,
    RelativeChange,
)
from lightning_factorlens.metrics.perturbation import FeatureDropout, InputNoise, Perturbation, TokenMask
from lightning_factorlens.metrics.shifts import ImageShift, TimeShift

#: Modules by which a table (N, D) is told from a series (N, T).
SEQUENCE_MODULES = (nn.Conv1d, nn.RNNBase)


@dataclass(frozen=True)
class PerturbationConsistency(Measurement):
    """How much the output changes when the input is perturbed a little; untested as a stop signal.

    It is for inputs and outputs for which there is no `Consistency`: the perturbation is chosen by the input, the
    agreement by what the output is read as. Nothing is known yet about how it follows the test loss. Unlike
    `Consistency`, it has no term for networks that give the same output for every input.

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> lens = FactorLens(model, measurements=[PerturbationConsistency()], outputs="regression")
        >>> 0 < lens.observe(torch.rand(40, 6))["perturbation_consistency"]["perturbation_consistency"] < 1
        True

    Attributes:
        perturbation: One of `metrics.perturbation` or `metrics.shifts`, or an object of a subclass of `Perturbation`.
            None chooses: a shift for images; token masking for token ids; for other sequences a time shift, or noise
            where the output has classes for every token; feature dropout for tables.
        agreement: One of `metrics.agreement`, or a function ``(outputs, perturbed) → (sum, weight)``. None chooses:
            cross-entropy against the predictions for classes, also of pixels and tokens; binary cross-entropy for
            labels that do not exclude each other; 1 − cosine for everything else, or the relative change of outputs of
            one number.

    Raises:
        TypeError: An argument of another type.
    """

    perturbation: Perturbation | None = None
    agreement: Agreement | None = None

    name: ClassVar[str] = "perturbation_consistency"
    needs: ClassVar[frozenset[str]] = frozenset({"forward", "outputs"})
    is_signal: ClassVar[bool] = True
    scalars: ClassVar[tuple[Scalar, ...]] = (
        Scalar(
            "perturbation_consistency",
            "{prefix}/perturbation_consistency",
            "Change of the output when the input is perturbed a little: cross-entropy against the prediction for "
            "classes, binary cross-entropy for labels, 1 - cosine for regression and embeddings. Untested as a stop "
            "signal.",
            reading="A lasting rise may be a sign of memorisation, as with consistency; no study has tested that yet.",
            unit="nats, or 1 - cosine",
            better="lower",
            chart="change of the output under small perturbations",
            monitored=True,
            summary=True,
        ),
    )

    def __post_init__(self) -> None:
        if self.perturbation is not None and not isinstance(self.perturbation, Perturbation):
            raise TypeError(
                f"perturbation: found {self.perturbation!r}; give an object such as ImageShift(), or None for the one "
                "that fits the inputs."
            )
        if self.agreement is not None and (not callable(self.agreement) or isinstance(self.agreement, type)):
            raise TypeError(
                f"agreement: found {self.agreement!r}; give an object such as CosineDistance(), or None to choose one."
            )

    def measure(self, context: Context) -> dict[str, float] | None:
        """Sends the probe and the perturbed probe through the model, batch by batch; only sums are kept."""
        decision = context.output_decision
        inputs = context.probe.inputs
        perturbation = self.perturbation or choose_perturbation(inputs, decision, context.model)
        if decision.path is None or perturbation is None:
            reason = decision.reason if decision.path is None else f"inputs {tuple(inputs.shape)} of {inputs.dtype}"
            advice = (
                "Pass outputs=Outputs('embedding', key=…) to name the part of the output, or "
                "PerturbationConsistency(perturbation=…)."
            )
            context.note(absence_note(self.name, f"{reason}. {advice}"))
            return None
        agreement = self.agreement or choose_agreement(decision)
        sums, failure = self._compare(context, perturbation, agreement)
        total, weight, n_missing = sums
        if failure or weight == 0:
            context.note(absence_note(self.name, f"{failure or 'the outputs are zero'}."))
            return None
        value = math.nan if n_missing else total / weight
        if not math.isfinite(value):
            reason = "the change of the outputs is not finite"
            if n_missing:
                reason = f"{n_missing:.0f} of {len(context.probe)} outputs are NaN, for the samples or perturbed ones"
            context.note(absence_note(self.name, f"{reason}."))
        return {"perturbation_consistency": value}

    def _compare(self, context: Context, perturbation: Perturbation, agreement: Agreement) -> tuple[list[float], str]:
        """The agreement's two sums over all samples and the number of samples with NaN, and what prevents it.

        Every process compares some batches.
        """
        group = context.process_group
        sums = torch.zeros(3, dtype=torch.float64, device=context.probe.device)
        failure = ""
        for k, batch in enumerate(context.probe.batches()):
            if k % group.world_size != group.rank or failure:
                continue
            generator = torch.Generator().manual_seed(context.options.seed + k)
            if not isinstance(batch.inputs, Tensor):
                failure = "the inputs are a list of images"
                continue
            axes = _position_axes(batch.inputs, context.output_decision)
            strides = _strides(batch.inputs, context.output_decision, axes[-2:])
            try:
                other = batch.with_inputs(perturbation.apply(batch.inputs, generator, strides))
                if other is None:
                    raise ValueError("the inputs are computed from the batch and cannot be replaced in it")
                outputs, perturbed = context.read_output(batch), context.read_output(other)
                if outputs is None or perturbed is None or outputs.shape != perturbed.shape:
                    raise ValueError("the output for perturbed inputs has another shape")
                outputs, perturbed = perturbation.align(outputs, perturbed, batch.inputs, axes)
            except ValueError as error:
                failure = str(error)
            else:
                found = (*agreement(outputs, perturbed), _count_nan(outputs, perturbed))
                sums += torch.tensor(found, dtype=torch.float64, device=sums.device)
        failures = [text for text in group.all_gather_object(failure) if text]
        return group.all_reduce_sum(sums).tolist(), failures[0] if failures else ""


def _count_nan(outputs: Tensor, perturbed: Tensor) -> int:
    """Number of samples for which one of both outputs holds a NaN."""
    is_nan = outputs.isnan() | perturbed.isnan()
    return int(is_nan.reshape(len(outputs), -1).any(1).sum())


def choose_perturbation(inputs: Tensor, decision: OutputDecision, model: nn.Module) -> Perturbation | None:
    """The perturbation for inputs of a shape and dtype.

    Args:
        inputs: Shape (N, …).
        decision: How the output is read: classes for every token show that axis 1 of the inputs counts tokens.
        model: Its modules tell a series (N, T) from a table (N, D).

    Returns:
        The perturbation; None for inputs of another kind.

    Example:
        >>> choose_perturbation(torch.zeros(4, 7).long(), OutputDecision(), nn.Identity())
        TokenMask(fraction=0.15, mask_id=None)
    """
    is_amount = inputs.is_floating_point() or inputs.dtype == torch.uint8
    if inputs.ndim >= 4 and is_amount:
        return ImageShift()
    if not is_amount:
        return TokenMask() if inputs.ndim == 2 and inputs.dtype != torch.bool else None
    if inputs.ndim == 3:
        return InputNoise() if decision.kind == "token_classes" else TimeShift()
    if inputs.ndim != 2:
        return None
    is_series = any(isinstance(module, SEQUENCE_MODULES) for module in model.modules())
    return TimeShift() if is_series else FeatureDropout()


def choose_agreement(decision: OutputDecision) -> Agreement:
    """The agreement for an output.

    Args:
        decision: How the output is read.

    Example:
        >>> choose_agreement(OutputDecision("token_classes", "", (5, 10)))
        ClassAgreement(axis=2, is_probability=False)
    """
    if decision.kind in ("classes", "pixel_classes"):
        return ClassAgreement(1, decision.is_probability)
    if decision.kind == "token_classes":
        return ClassAgreement(len(decision.shape), decision.is_probability)
    if decision.kind == "multilabel":
        return LabelAgreement(decision.is_probability)
    if decision.shape in ((), (1,)):
        return RelativeChange()
    return CosineDistance()


def _position_axes(inputs: Tensor, decision: OutputDecision) -> tuple[int, ...]:
    """The axes of the output that count positions of the input."""
    n_axes = 1 + len(decision.shape)
    if decision.kind == "token_classes":
        return tuple(range(1, n_axes - 1))
    if decision.kind == "pixel_classes" or n_axes == inputs.ndim:
        return tuple(range(2, n_axes))
    return ()


def _strides(inputs: Tensor, decision: OutputDecision, axes: tuple[int, ...]) -> tuple[float, ...]:
    """Input positions for each output position, by the output's position axes."""
    lengths = inputs.shape[inputs.ndim - len(axes) :]
    return tuple(length / decision.shape[axis - 1] for length, axis in zip(lengths, axes))

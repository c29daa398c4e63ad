"""How much a model's output changes when its input is perturbed, for outputs of every kind.

Each agreement receives the outputs for some samples and the outputs for the same samples perturbed, and returns two
numbers, which are added over all samples; the value is their ratio, and lower is better. None of them has been tested
as a stop signal: only `lightning_factorlens.metrics.consistency` has, on images with classes. Unlike that, none has a
term for networks that give the same output for every input, which are perfectly consistent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from lightning_factorlens.metrics.probabilities import count_missing, log_probabilities


class Agreement(Protocol):
    """Compares outputs; ``value = Σ first number / Σ second number`` over all samples."""

    def __call__(self, outputs: Tensor, perturbed: Tensor) -> tuple[float, float]:
        """Compares the outputs (n, …) for n samples with those for the same samples perturbed."""


@dataclass(frozen=True)
class ClassAgreement:
    """Cross-entropy against the predicted classes: mean of −log p(argmax p(x) | T x), in nats.

    The mean is over samples, and over positions where every position has its own classes. It is pseudo-labelling
    (Lee 2013, "Pseudo-Label: the simple and efficient semi-supervised learning method") as a measurement.

    Example:
        >>> total, count = ClassAgreement()(torch.tensor([[4.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
        >>> round(total / count, 4)
        0.6931

    Attributes:
        axis: Axis of the classes; the samples are axis 0.
        is_probability: Whether the outputs are probabilities, not logits or log probabilities.
    """

    axis: int = 1
    is_probability: bool = False

    def __call__(self, outputs: Tensor, perturbed: Tensor) -> tuple[float, float]:
        """The sum of the cross-entropies, and their number; the sum is NaN where one output is no prediction."""
        labels = outputs.argmax(self.axis, keepdim=True)
        picked = log_probabilities(perturbed, self.is_probability, self.axis).gather(self.axis, labels)
        is_unknown = count_missing(outputs, self.axis) > 0  # `argmax` would take the class of the NaN
        if self.is_probability:
            is_unknown = not bool(outputs.isfinite().all())
        if is_unknown:
            return math.nan, float(picked.numel())
        return float(-picked.double().sum()), float(picked.numel())


@dataclass(frozen=True)
class LabelAgreement:
    """Binary cross-entropy against the predicted labels: mean of −log p(1[p(x) > ½] | T x), in nats.

    The mean is over samples and labels.

    Example:
        >>> total, count = LabelAgreement()(torch.tensor([[4.0, -4.0]]), torch.tensor([[0.0, 0.0]]))
        >>> round(total / count, 4)
        0.6931

    Attributes:
        is_probability: Whether the outputs are probabilities, not logits.
    """

    is_probability: bool = False

    def __call__(self, outputs: Tensor, perturbed: Tensor) -> tuple[float, float]:
        """The sum of the cross-entropies, and their number; the sum is NaN where one output is no prediction.

        These are NaN, +inf and infinite probabilities; logits of −inf are probabilities of 0.
        """
        scores = _at_least_float32(perturbed)
        threshold = 0.5 if self.is_probability else 0.0
        labels = (outputs > threshold).to(scores)
        for values in (outputs, scores):
            is_prediction = values.isfinite() if self.is_probability else values < math.inf
            if not bool(is_prediction.all()):  # a comparison would read NaN as the label 0
                return math.nan, float(scores.numel())
        if self.is_probability:
            losses = functional.binary_cross_entropy(scores.clamp(0.0, 1.0), labels, reduction="none")
        else:
            losses = functional.softplus(torch.where(labels > 0, -scores, scores))
        return float(losses.double().sum()), float(losses.numel())


@dataclass(frozen=True)
class CosineDistance:
    """Mean over samples of 1 − cos(f(x), f(T x)): 0 for equal directions, at most 2.

    It does not depend on the scale of the outputs. An output of zeros has no direction: its distance is 0 from another
    one of zeros and 1 from any other output.

    Example:
        >>> total, count = CosineDistance()(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
        >>> total / count
        1.0
    """

    def __call__(self, outputs: Tensor, perturbed: Tensor) -> tuple[float, float]:
        """The sum of the distances, and their number."""
        first = _unit_rows(outputs)
        second = _unit_rows(perturbed)
        distances = 1 - (first * second).sum(1)
        are_zero = (first == 0).all(1) & (second == 0).all(1)
        distances = torch.where(are_zero, 0.0, distances)
        return float(distances.sum()), float(len(distances))


@dataclass(frozen=True)
class RelativeChange:
    """Σ (f(x) − f(T x))² / Σ f(x)², for outputs of one number for each sample, which have no direction.

    Example:
        >>> total, scale = RelativeChange()(torch.tensor([2.0, 0.0]), torch.tensor([2.0, 1.0]))
        >>> total / scale
        0.25
    """

    def __call__(self, outputs: Tensor, perturbed: Tensor) -> tuple[float, float]:
        """The sum of the squared changes, and that of the squared outputs."""
        change = (outputs.double() - perturbed.double()).square().sum()
        return float(change), float(outputs.double().square().sum())


def _at_least_float32(outputs: Tensor) -> Tensor:
    """Outputs in a dtype whose logarithms are exact enough."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))


def _unit_rows(outputs: Tensor) -> Tensor:
    """One row of length 1 for each sample, float64; a row of zeros stays zero."""
    rows = outputs.flatten(1).double()
    largest = rows.abs().amax(1, keepdim=True)
    rows = rows / torch.where(largest == 0, 1.0, largest)  # else squares overflow or vanish
    norms = rows.norm(dim=1, keepdim=True)
    return rows / torch.where(norms == 0, 1.0, norms)

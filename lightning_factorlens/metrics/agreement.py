"""How much a model's output changes when its input is perturbed, for outputs of every kind.

Each agreement receives the outputs for some samples and the outputs for the same samples perturbed, and returns two
numbers, which are added over all samples; the value is their ratio, and lower is better. None of them has been tested
as a stop signal: only `lightning_factorlens.metrics.consistency` has, on images with classes. Unlike that, none has a
term for networks that give the same output for every input, which are perfectly consistent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


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
        """The sum of the cross-entropies, and their number."""
        labels = outputs.argmax(self.axis, keepdim=True)
        if self.is_probability:
            tiny = torch.finfo(torch.float32).tiny
            scores = perturbed.clamp_min(tiny).log()
        else:
            scores = perturbed
        picked = scores.log_softmax(self.axis).gather(self.axis, labels)
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
        """The sum of the cross-entropies, and their number."""
        if self.is_probability:
            labels = (outputs > 0.5).to(perturbed)
            losses = functional.binary_cross_entropy(perturbed.clamp(0.0, 1.0), labels, reduction="none")
        else:
            labels = (outputs > 0).to(perturbed)
            losses = functional.binary_cross_entropy_with_logits(perturbed, labels, reduction="none")
        return float(losses.double().sum()), float(losses.numel())


@dataclass(frozen=True)
class CosineDistance:
    """Mean over samples of 1 − cos(f(x), f(T x)): 0 for equal directions, at most 2.

    Example:
        >>> total, count = CosineDistance()(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
        >>> total / count
        1.0
    """

    def __call__(self, outputs: Tensor, perturbed: Tensor) -> tuple[float, float]:
        """The sum of the distances, and their number."""
        first = outputs.flatten(1).double()
        second = perturbed.flatten(1).double()
        distances = 1 - functional.cosine_similarity(first, second, dim=1)
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

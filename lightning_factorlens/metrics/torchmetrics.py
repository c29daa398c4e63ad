"""The label-free signals as `torchmetrics.Metric`, which accumulate over batches and over processes.

This is the only module that imports torchmetrics, which is a dependency of lightning; the functions do not need it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightning_factorlens.metrics import confidence, nuclear_norm, prediction_changes, rankme
from lightning_factorlens.metrics.consistency import pseudo_label_cross_entropy
from lightning_factorlens.metrics.probabilities import log_probabilities


class Consistency(Metric):
    """`lightning_factorlens.metrics.consistency.consistency` over batches; ``update(outputs, shifted, labels)``.

    Example:
        >>> outputs = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
        >>> metric = Consistency()
        >>> metric.update(outputs, outputs)
        >>> round(float(metric.compute()), 4)
        0.0181
    """

    full_state_update = False
    higher_is_better = False
    cross_entropy: Tensor
    probabilities: Tensor
    n_images: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("cross_entropy", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("probabilities", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n_images", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, outputs: Tensor, shifted: Tensor, labels: Tensor | None = None) -> None:
        """Adds a batch.

        Args:
            outputs: The model's outputs for the images, shape (N, K).
            shifted: Its outputs for the shifted images, shape (N, K).
            labels: Pseudo-labels, shape (N,); the predicted classes unless given.
        """
        if labels is None:
            labels = outputs.argmax(1)
        self.cross_entropy = self.cross_entropy + len(outputs) * pseudo_label_cross_entropy(labels, [shifted])
        self.probabilities = self.probabilities + log_probabilities(outputs).exp().double().sum(0)
        self.n_images = self.n_images + len(outputs)

    def compute(self) -> Tensor:
        """The value over all images so far, in nats."""
        mean_prediction = self.probabilities / self.n_images
        kl = math.log(len(mean_prediction)) - torch.special.entr(mean_prediction).sum()
        return self.cross_entropy / self.n_images + kl.clamp_min(0.0)


class _MeanOverImages(Metric):
    """The mean over images of a function that is itself a mean: every batch is weighted by its number of images."""

    full_state_update = False
    higher_is_better: bool | None = None
    function: Callable[..., float]
    total: Tensor
    n_images: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n_images", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, outputs: Tensor, *others: Any) -> None:
        """Adds a batch: the arguments of the function, the outputs of shape (N, K) first."""
        self.total += len(outputs) * type(self).function(outputs, *others)
        self.n_images += len(outputs)

    def compute(self) -> Tensor:
        """The mean over all images so far."""
        return self.total / self.n_images


class PredictionChanges(_MeanOverImages):
    """`prediction_changes.prediction_changes`; ``update(before, outputs)``."""

    function = staticmethod(prediction_changes.prediction_changes)


class MeanTotalVariation(_MeanOverImages):
    """`prediction_changes.mean_total_variation`; ``update(before, outputs)``."""

    function = staticmethod(prediction_changes.mean_total_variation)


class Confidence(_MeanOverImages):
    """`confidence.confidence`; ``update(outputs)``."""

    function = staticmethod(confidence.confidence)


class PredictionEntropy(_MeanOverImages):
    """`confidence.entropy`; ``update(outputs)``."""

    function = staticmethod(confidence.entropy)


class _FunctionOfAllImages(Metric):
    """A function of all images at once: the arguments of all batches are kept, one list for each argument."""

    full_state_update = False
    higher_is_better: bool | None = None
    function: Callable[..., float]
    arguments: tuple[str, ...]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in self.arguments:
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, *values: Tensor) -> None:
        """Adds a batch: the arguments of the function, one image in each row.

        Raises:
            TypeError: Another number of arguments than the function takes.
        """
        if len(values) != len(self.arguments):
            expected = ", ".join(self.arguments)
            raise TypeError(
                f"{type(self).__name__}.update takes ({expected}), found {len(values)} arguments; pass one for each."
            )
        for name, value in zip(self.arguments, values):
            getattr(self, name).append(value)

    def compute(self) -> Tensor:
        """The value over all images so far."""
        kept = []
        for name in self.arguments:
            kept.append(dim_zero_cat(getattr(self, name)))
        return torch.tensor(type(self).function(*kept), dtype=torch.float64)


class NuclearNorm(_FunctionOfAllImages):
    """`nuclear_norm.nuclear_norm`; ``update(outputs)``."""

    higher_is_better = True
    arguments = ("outputs",)
    function = staticmethod(nuclear_norm.nuclear_norm)


class MutualInformation(_FunctionOfAllImages):
    """`confidence.mutual_information`; ``update(outputs)``."""

    arguments = ("outputs",)
    function = staticmethod(confidence.mutual_information)


class KLToUniform(_FunctionOfAllImages):
    """`confidence.kl_to_uniform`; ``update(outputs)``."""

    higher_is_better = False
    arguments = ("outputs",)
    function = staticmethod(confidence.kl_to_uniform)


class RankMe(_FunctionOfAllImages):
    """`rankme.rankme`; ``update(features)``."""

    higher_is_better = True
    arguments = ("features",)
    function = staticmethod(rankme.rankme)

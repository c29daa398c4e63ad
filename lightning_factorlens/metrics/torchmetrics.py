"""The label-free signals as `torchmetrics.Metric`, which accumulate over batches and over processes.

Only this module and its base class import torchmetrics, which is a dependency of lightning; the functions do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from lightning_factorlens.metrics import confidence, nuclear_norm, prediction_changes, rankme
from lightning_factorlens.metrics._image_metric import ImageMetric, no_value
from lightning_factorlens.metrics.consistency import pseudo_label_cross_entropy
from lightning_factorlens.metrics.probabilities import log_probabilities


class Consistency(ImageMetric):
    """Consistency of predictions under small shifts, over all images of all batches.

    ``update(outputs, shifted, labels)`` takes a batch; the value is that of
    `lightning_factorlens.metrics.consistency.consistency`.

    Args:
        is_probability: Whether the outputs are probabilities; None decides it by the first batch.
        kwargs: See `torchmetrics.Metric`.

    Example:
        >>> outputs = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
        >>> metric = Consistency()
        >>> metric.update(outputs, outputs)
        >>> round(float(metric.compute()), 4)
        0.0181
    """

    higher_is_better = False
    cross_entropy: Tensor
    probabilities: Tensor
    n_images: Tensor

    def __init__(self, is_probability: bool | None = None, **kwargs: Any) -> None:
        super().__init__(is_probability, **kwargs)
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
        if len(outputs) == 0:
            return
        outputs = outputs.detach()
        is_probability = self.decide_kind(outputs)
        if labels is None:
            labels = outputs.argmax(1)
        cross_entropy = pseudo_label_cross_entropy(labels, [shifted.detach()], is_probability)
        self.cross_entropy = self.cross_entropy + len(outputs) * cross_entropy
        self.probabilities = self.probabilities + log_probabilities(outputs, is_probability).exp().double().sum(0)
        self.n_images = self.n_images + len(outputs)

    def compute(self) -> Tensor:
        """The value over all images so far, in nats; NaN before the first one."""
        if self.n_images == 0:
            return no_value(self.device)
        mean_prediction = self.probabilities / self.n_images
        kl = math.log(len(mean_prediction)) - torch.special.entr(mean_prediction).sum()
        return self.cross_entropy / self.n_images + kl.clamp_min(0.0)  # which keeps NaN


class _MeanOverImages(ImageMetric):
    """The mean over images of a function that is itself a mean: every batch is weighted by its number of images."""

    higher_is_better: bool | None = None
    reads_probabilities = True
    function: Callable[..., float]
    total: Tensor
    n_images: Tensor

    def __init__(self, is_probability: bool | None = None, **kwargs: Any) -> None:
        super().__init__(is_probability, **kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n_images", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, outputs: Tensor, *others: Tensor) -> None:
        """Adds a batch: the arguments of the function, the outputs of shape (N, K) first."""
        if len(outputs) == 0:
            return
        arguments = [values.detach() for values in (outputs, *others)]
        options = {"is_probability": self.decide_kind(arguments[0])} if self.reads_probabilities else {}
        self.total = self.total + len(outputs) * type(self).function(*arguments, **options)
        self.n_images = self.n_images + len(outputs)

    def compute(self) -> Tensor:
        """The mean over all images so far; NaN before the first one."""
        return self.total / self.n_images


class PredictionChanges(_MeanOverImages):
    """Share of images whose predicted class has changed; ``update(before, outputs)``, see `prediction_changes`."""

    reads_probabilities = False
    function = staticmethod(prediction_changes.prediction_changes)


class MeanTotalVariation(_MeanOverImages):
    """Mean distance between two predictions of an image; ``update(before, outputs)``, see `mean_total_variation`."""

    function = staticmethod(prediction_changes.mean_total_variation)


class Confidence(_MeanOverImages):
    """Mean probability of the predicted class; ``update(outputs)``, see `confidence`."""

    function = staticmethod(confidence.confidence)


class PredictionEntropy(_MeanOverImages):
    """Mean entropy of the predictions, in nats; ``update(outputs)``, see `entropy`."""

    function = staticmethod(confidence.entropy)


class _FunctionOfAllImages(ImageMetric):
    """A function of all images at once: the arguments of all batches are kept, one list for each argument."""

    higher_is_better: bool | None = None
    reads_probabilities = True
    function: Callable[..., float]
    arguments: tuple[str, ...]

    def __init__(self, is_probability: bool | None = None, **kwargs: Any) -> None:
        super().__init__(is_probability, **kwargs)
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
        if len(values[0]) == 0:
            return
        if self.reads_probabilities:
            self.decide_kind(values[0])
        for name, value in zip(self.arguments, values):
            getattr(self, name).append(value.detach())

    def compute(self) -> Tensor:
        """The value over all images so far; NaN before the first one."""
        kept = []
        for name in self.arguments:
            batches = getattr(self, name)
            if len(batches) == 0:
                return no_value(self.device)
            kept.append(dim_zero_cat(batches))
        options = {"is_probability": self.is_probability} if self.reads_probabilities else {}
        return torch.tensor(type(self).function(*kept, **options), dtype=torch.float64, device=kept[0].device)


class NuclearNorm(_FunctionOfAllImages):
    """Nuclear norm of the matrix of all predictions; ``update(outputs)``, see `nuclear_norm`."""

    higher_is_better = True
    arguments = ("outputs",)
    function = staticmethod(nuclear_norm.nuclear_norm)


class MutualInformation(_FunctionOfAllImages):
    """Mutual information of images and predicted classes, in nats; ``update(outputs)``, see `mutual_information`."""

    arguments = ("outputs",)
    function = staticmethod(confidence.mutual_information)


class KLToUniform(_FunctionOfAllImages):
    """Divergence of the mean prediction from equal shares, in nats; ``update(outputs)``, see `kl_to_uniform`."""

    higher_is_better = False
    arguments = ("outputs",)
    function = staticmethod(confidence.kl_to_uniform)


class RankMe(_FunctionOfAllImages):
    """Effective rank of the features of all images; ``update(features)``, see `rankme`."""

    higher_is_better = True
    reads_probabilities = False
    arguments = ("features",)
    function = staticmethod(rankme.rankme)

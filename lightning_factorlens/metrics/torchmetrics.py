"""The label-free signals as `torchmetrics.Metric`: they add up over batches and over processes.

The only file that imports torchmetrics (lightning brings it along); the functions themselves stay free of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightning_factorlens.metrics import (
    cka,
    confidence,
    consistency,
    mixup,
    nuclear_norm,
    prediction_changes,
    rankme,
    stability,
)


class _MeanOverImages(Metric):
    """The mean over images of a function that is one: batches of any size weigh as many images as they hold."""

    full_state_update = False
    higher_is_better: bool | None = None
    function: Callable[..., float]
    total: Tensor
    images: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, outputs: Tensor, *others: Any) -> None:
        """Adds a batch: the arguments of the function, the outputs of shape (N, K) first."""
        self.total += len(outputs) * type(self).function(outputs, *others)
        self.images += len(outputs)

    def compute(self) -> Tensor:
        """The mean over all images so far."""
        return self.total / self.images


class Consistency(_MeanOverImages):
    """`consistency.consistency`; ``update(outputs, transformed)``."""

    higher_is_better = False
    function = staticmethod(consistency.consistency)


class SoftConsistency(_MeanOverImages):
    """`consistency.soft_consistency`; ``update(outputs, transformed)``."""

    higher_is_better = False
    function = staticmethod(consistency.soft_consistency)


class DisagreementRate(_MeanOverImages):
    """`consistency.disagreement_rate`; ``update(outputs, transformed)``."""

    higher_is_better = False
    function = staticmethod(consistency.disagreement_rate)


class PredictionChanges(_MeanOverImages):
    """`prediction_changes.prediction_changes`; ``update(before, outputs)``."""

    function = staticmethod(prediction_changes.prediction_changes)


class PredictionDrift(_MeanOverImages):
    """`prediction_changes.prediction_drift`; ``update(before, outputs)``."""

    function = staticmethod(prediction_changes.mean_total_variation)


class Confidence(_MeanOverImages):
    """`confidence.confidence`; ``update(outputs)``."""

    function = staticmethod(confidence.confidence)


class PredictionEntropy(_MeanOverImages):
    """`confidence.entropy`; ``update(outputs)``."""

    function = staticmethod(confidence.entropy)


class MixupConsistency(_MeanOverImages):
    """`mixup.mixup_consistency`; ``update(outputs, mixed, partner, share)``, partners within the batch."""

    higher_is_better = False
    function = staticmethod(mixup.mixup_consistency)


class _OfAllImages(Metric):
    """A function of all images at once: keeps what it is given, one list an argument."""

    full_state_update = False
    higher_is_better: bool | None = None
    function: Callable[..., float]
    arguments: tuple[str, ...]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in self.arguments:
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, *values: Tensor) -> None:
        """Adds a batch: the arguments of the function, images first.

        Raises:
            TypeError: Not as many arguments as the function takes.
        """
        if len(values) != len(self.arguments):
            wanted = ", ".join(self.arguments)
            raise TypeError(f"{type(self).__name__}.update takes ({wanted}), found {len(values)} arguments.")
        for name, value in zip(self.arguments, values):
            getattr(self, name).append(value)

    def compute(self) -> Tensor:
        """The value over all images so far."""
        kept = [dim_zero_cat(getattr(self, name)) for name in self.arguments]
        return torch.tensor(type(self).function(*kept), dtype=torch.float64)


class NuclearNorm(_OfAllImages):
    """`nuclear_norm.nuclear_norm`; ``update(outputs)``."""

    higher_is_better = True
    arguments = ("outputs",)
    function = staticmethod(nuclear_norm.nuclear_norm)


class MutualInformation(_OfAllImages):
    """`confidence.mutual_information`; ``update(outputs)``."""

    arguments = ("outputs",)
    function = staticmethod(confidence.mutual_information)


class Imbalance(_OfAllImages):
    """`confidence.imbalance`; ``update(outputs)``."""

    higher_is_better = False
    arguments = ("outputs",)
    function = staticmethod(confidence.kl_to_uniform)


class RankMe(_OfAllImages):
    """`rankme.rankme`; ``update(features)``."""

    higher_is_better = True
    arguments = ("features",)
    function = staticmethod(rankme.rankme)


class LinearCKA(_OfAllImages):
    """`cka.linear_cka`; ``update(before, features)``."""

    arguments = ("before", "features")
    function = staticmethod(cka.linear_cka)


class SubspaceOverlap(_OfAllImages):
    """`stability.subspace_overlap`; ``update(before_t, F_t)``, both transposed: one image a row."""

    arguments = ("before_t", "F_t")
    function = staticmethod(lambda before, F: stability.subspace_overlap(before.T, F.T))

"""Helpers that turn stored arrays, one entry per epoch, into a series of one number per epoch.

The first word of a signal's name says what it needs: ``probe`` (unlabelled images and the network's outputs),
``factors`` (the probe and the factorization), ``weights`` (the weights alone), ``images`` (training images, not their
labels), ``labels`` (training labels; never part of a label-free claim). The series ``hidden``, ``validation`` and
``training`` of a record are no signals, see `make_records`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_factorlens.metrics.probabilities import log_probabilities
from lightning_factorlens.metrics.temporal_ensemble import TemporalEnsemble

#: Series by name.
Series = dict[str, list[float]]
#: The scalars of a raw record: one entry per epoch, by name.
Scalars = Mapping[str, Sequence[Any]]


def by_epoch(array: np.ndarray) -> list[Tensor]:
    """A stored array as one float32 tensor per epoch."""
    return list(torch.from_numpy(array.astype(np.float32)).unbind(0))


def each(function: Callable[..., float], *series: Sequence[Any]) -> list[float]:
    """A function of the values of one epoch, at every epoch."""
    return [function(*values) for values in zip(*series)]


def steps(function: Callable[[Any, Any], float], series: Sequence[Any]) -> list[float]:
    """A function of the values of an epoch and of the one before; NaN at the first epoch."""
    return [math.nan, *(function(a, b) for a, b in zip(series, series[1:]))]


def divergence(plain: Tensor, other: Tensor) -> float:
    """The mean over images of KL(p ‖ q), in nats, from two outputs of shape (N, K)."""
    p = log_probabilities(plain)
    q = log_probabilities(other)
    differences = torch.where(p == -math.inf, 0.0, p.exp() * (p - q))  # 0 · log 0 = 0
    return float(differences.sum(1).double().mean())


def pseudo_labels(outputs: Sequence[Tensor], momentum: float) -> list[Tensor]:
    """At every epoch, the classes that the moving average of the predictions so far names, see `TemporalEnsemble`."""
    ensemble = TemporalEnsemble(momentum)
    return [ensemble.update(of_epoch) for of_epoch in outputs]

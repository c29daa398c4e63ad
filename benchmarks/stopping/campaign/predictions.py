"""The recorded outputs of a run as log probabilities, in one form for every kind of output.

Every output is seen as M decisions between K classes: a sample's class, each of its labels (yes or no), or each of its
pixels. What the signals compute from that form is the same for all kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.stopping.campaign.raw import RawRun

Array = np.ndarray
#: Smallest probability whose logarithm is taken.
TINY = 1e-38


def log_softmax(logits: Array) -> Array:
    """Log probabilities over the last axis, float64."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def decisions(kind: str, logits: Array) -> Array:
    """Log probabilities of M decisions, shape (T, M, K), from the outputs (T, N, …) of a kind.

    Args:
        kind: ``"classes"``, ``"multilabel"`` or ``"pixel_classes"``.
        logits: The outputs, with K after N.
    """
    if kind == "multilabel":
        yes = logits.astype(np.float64).reshape(len(logits), -1)
        return log_softmax(np.stack([np.zeros_like(yes), yes], axis=-1))
    if kind == "pixel_classes":
        last = np.moveaxis(logits, 2, -1)
        return log_softmax(last.reshape(len(last), -1, last.shape[-1]))
    return log_softmax(logits)


def moving_average(p: Array, momentum: float) -> Array:
    """Q_t = m q_{t−1} + (1 − m) p_t with q_1 = p_1, as `TemporalEnsemble` computes it; the same shape."""
    averages = np.empty_like(p)
    averages[0] = p[0]
    for t in range(1, len(p)):
        averages[t] = momentum * averages[t - 1] + (1 - momentum) * p[t]
    return averages


@dataclass(frozen=True)
class Predictions:
    """The predictions of a run for its probe.

    Attributes:
        run: The raw run.
    """

    run: RawRun

    @cached_property
    def log_p(self) -> Array:
        """For the plain probe, shape (T, M, K)."""
        return decisions(self.run.task.kind, self.run.probe_logits)

    @cached_property
    def p(self) -> Array:
        """The probabilities for the plain probe, shape (T, M, K)."""
        return np.exp(self.log_p)

    @cached_property
    def log_perturbed(self) -> Array:
        """For the probe as the lens perturbs it, shape (T, M, K): even samples by the first, odd by the second."""
        perturbed = self.run.probe_shifted[:, 0].copy()
        perturbed[:, 1::2] = self.run.probe_shifted[:, 1, 1::2]
        return decisions(self.run.task.kind, perturbed)

    def log_each(self, k: int) -> Array:
        """For the k-th perturbation of all samples, shape (T, M, K)."""
        return decisions(self.run.task.kind, self.run.probe_shifted[:, k])

    def average(self, momentum: float) -> Array:
        """The moving average of the predictions for the plain probe, shape (T, M, K)."""
        cache = self.__dict__.setdefault("_averages", {})
        if momentum not in cache:
            cache[momentum] = moving_average(self.p, momentum)
        found: Array = cache[momentum]
        return found

"""Selection by comparing the present network with the kept one on the same labels, epoch by epoch.

The labels of `signals.consistency` become better while a run goes on, so that the values of two epochs are not of the
same labels. Here the predictions of the kept epoch are remembered (N × K numbers), and both are judged by the present
labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.stopping.campaign.predictions import Array, Predictions
from benchmarks.stopping.campaign.signals import imbalance, label_loss


@dataclass(frozen=True)
class Duel:
    """The lead of every epoch over the one kept so far; negative where the epoch replaces it.

    Attributes:
        momentum: Weight of the old average in the average that names the labels.
        window: Number of epochs over which both sides are averaged.
        warmup: Epochs that always replace the kept one.
        term: Weight of a further series (lower is better), such as the divergence or a clock.
    """

    momentum: float = 0.9
    window: int = 3
    warmup: int = 5

    def leads(self, predictions: Predictions, further: Array | None = None) -> Array:
        """Loss of the present epochs minus that of the kept ones, on the present labels, in nats, shape (T,)."""
        log_p = predictions.log_perturbed
        balance = imbalance(predictions) + (0 if further is None else further)
        labels = predictions.average(self.momentum).argmax(-1)
        kept = 0
        leads = np.zeros(len(log_p))
        for t in range(len(log_p)):
            leads[t] = self._loss(log_p, labels[t], balance, t) - self._loss(log_p, labels[t], balance, kept)
            if t < self.warmup or leads[t] < 0:
                kept = t
                leads[t] = min(leads[t], -1e-12)
        return leads

    def _loss(self, log_p: Array, labels: Array, balance: Array, t: int) -> float:
        window = slice(max(0, t + 1 - self.window), t + 1)
        of_window = np.broadcast_to(labels, (t + 1 - window.start, len(labels)))
        return float(label_loss(log_p[window], of_window).mean() + balance[window].mean())

"""Every epoch compared with the best one so far on the same, present labels: an idea that was not chosen.

The labels of `signals.consistency` become better while a run goes on, so that the values of two epochs are not of the
same labels. Here the predictions of the best epoch so far are remembered (N × K numbers), both are judged by the
present labels, and the differences are added up to a series whose lowest value so far is that of the best epoch.
"""

from __future__ import annotations

import numpy as np

from benchmarks.stopping.campaign.predictions import Array, Predictions
from benchmarks.stopping.campaign.signals import MOMENTUM, imbalance, label_loss, smoothed

#: Weight of the newest predictions in the smoothed ones, and epochs that always become the best.
WEIGHT = 0.5
WARMUP = 5


def chained_consistency(predictions: Predictions, momentum: float = MOMENTUM) -> Array:
    """The chained series of a run, in nats; its smoothing is already done."""
    log_p = predictions.log_perturbed
    labels = predictions.average(momentum).argmax(-1)
    balance = smoothed(imbalance(predictions), WEIGHT)
    recent = log_p[0]
    best = recent
    best_balance = balance[0]
    series = np.empty(len(log_p))
    series[0] = lowest = _loss(recent, labels[0]) + balance[0]
    for t in range(1, len(log_p)):
        recent = WEIGHT * log_p[t] + (1 - WEIGHT) * recent
        lead = _loss(recent, labels[t]) + balance[t] - _loss(best, labels[t]) - best_balance
        series[t] = lowest + lead
        if t < WARMUP or lead < 0:
            best = recent
            best_balance = balance[t]
            lowest = series[t]
    return series


def _loss(log_p: Array, labels: Array) -> float:
    return float(label_loss(log_p[None], labels[None])[0])

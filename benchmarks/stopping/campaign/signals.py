"""Signals of the second campaign: functions of a run's predictions to one float64 number per epoch, lower is better.

`consistency` and `divergence` are what the package computes during training
(`lightning_factorlens.measurements.Consistency`); a test compares them.
"""

from __future__ import annotations

import numpy as np

from benchmarks.stopping.campaign.predictions import TINY, Array, Predictions

#: Weight of the old average in the package's moving average of the predictions.
MOMENTUM = 0.8
#: Below it a network does not tell its inputs apart yet, and agrees with itself for that reason.
LEAST_DISTINCTION = 0.1
#: Share of the plain probe in `agreement_loss`.
PLAIN_SHARE = 0.6
IMBALANCE_WEIGHT = 3.0


def clock(predictions: Predictions, scale: float = 1.0) -> Array:
    """Scale / epoch: the control of every term that falls while a run goes on, whatever the network learns."""
    epochs = np.arange(1, len(predictions.p) + 1, dtype=np.float64)
    return scale / epochs


def divergence(predictions: Predictions, momentum: float = MOMENTUM) -> Array:
    """KL(p_t ‖ q_t), mean over decisions: how far the predictions are from their own moving average, in nats."""
    q = predictions.average(momentum)
    log_ratio = predictions.log_p - np.log(np.maximum(q, TINY))
    result: Array = (predictions.p * log_ratio).sum(-1).mean(-1)
    return result


def reverse_divergence(predictions: Predictions, momentum: float = MOMENTUM) -> Array:
    """KL(q_t ‖ p_t), mean over decisions, in nats: large where the network is sure of what it did not say before."""
    q = predictions.average(momentum)
    log_ratio = np.log(np.maximum(q, TINY)) - predictions.log_p
    result: Array = (q * log_ratio).sum(-1).mean(-1)
    return result


def disagreement(predictions: Predictions, momentum: float = MOMENTUM) -> Array:
    """Fraction of the decisions that differ from those of the moving average."""
    result: Array = (predictions.p.argmax(-1) != predictions.average(momentum).argmax(-1)).mean(-1)
    return result


def imbalance(predictions: Predictions) -> Array:
    """KL(mean prediction ‖ uniform) in nats; 0 for several labels and pixels, whose classes are rare."""
    if predictions.run.task.kind != "classes":
        return np.zeros(len(predictions.p))
    mean = predictions.p.mean(1)
    result: Array = np.log(mean.shape[-1]) + (mean * np.log(np.maximum(mean, TINY))).sum(-1)
    return np.maximum(result, 0.0)


def label_loss(log_p: Array, labels: Array) -> Array:
    """−log p(label), mean over decisions, from log probabilities (T, M, K) and labels (T, M)."""
    result: Array = -np.take_along_axis(log_p, labels[..., None], -1)[..., 0].mean(-1)
    return result


def consistency(predictions: Predictions, momentum: float = MOMENTUM) -> Array:
    """The default signal of version 0.1: perturbed predictions against steady labels, plus the imbalance."""
    labels = predictions.average(momentum).argmax(-1)
    return label_loss(predictions.log_perturbed, labels) + imbalance(predictions)


def consistency_of_four(predictions: Predictions, momentum: float = MOMENTUM) -> Array:
    """`consistency` with all four perturbations of every sample: four passes instead of one."""
    labels = predictions.average(momentum).argmax(-1)
    losses = [label_loss(predictions.log_each(k), labels) for k in range(predictions.run.probe_shifted.shape[1])]
    return np.mean(losses, axis=0) + imbalance(predictions)


def loss_of_disagreeing(predictions: Predictions, momentum: float = MOMENTUM) -> Array:
    """Part of `consistency` that comes from decisions which the perturbation changes, in nats.

    The perturbation changes fewer decisions than are wrong. To count these more often corrects the estimated loss.
    """
    labels = predictions.average(momentum).argmax(-1)
    losses = -np.take_along_axis(predictions.log_perturbed, labels[..., None], -1)[..., 0]
    result: Array = (losses * (predictions.log_perturbed.argmax(-1) != labels)).mean(-1)
    return result


def perturbed_disagreement(predictions: Predictions) -> Array:
    """Fraction of the decisions that the perturbation changes."""
    result: Array = (predictions.p.argmax(-1) != predictions.log_perturbed.argmax(-1)).mean(-1)
    return result


def entropy(predictions: Predictions) -> Array:
    """Entropy of the predictions, mean over decisions, in nats."""
    p = predictions.p
    result: Array = -(p * np.log(np.maximum(p, TINY))).sum(-1).mean(-1)
    return result


def distinction(predictions: Predictions) -> Array:
    """1 − mean entropy / entropy of the mean prediction, from 0 to 1: how far the outputs tell the inputs apart.

    This is the mutual information between input and prediction as a fraction of the largest possible one. The mean
    prediction is that over the samples, for every label or pixel apart.
    """
    p = predictions.p
    if predictions.run.task.kind == "classes":
        mean = p.mean(1)
    else:
        mean = p.reshape(len(p), predictions.run.probe_logits.shape[1], -1, p.shape[-1]).mean(1)
    of_mean = -(mean * np.log(np.maximum(mean, TINY))).sum(-1)
    if of_mean.ndim > 1:
        of_mean = of_mean.mean(-1)
    result: Array = 1 - entropy(predictions) / np.maximum(of_mean, TINY)
    return result


def memorization_gap(predictions: Predictions) -> Array:
    """Max(0, entropy of the probe's predictions − mean training loss of the epoch), in nats.

    A network that is calibrated and has memorised nothing is as uncertain about new inputs as its training loss says.
    """
    return np.maximum(entropy(predictions) - predictions.run.train_loss.astype(np.float64), 0.0)


def after_distinction(predictions: Predictions, values: Array) -> Array:
    """The values from the first epoch on whose `distinction` is at least `LEAST_DISTINCTION`; NaN before."""
    begun = np.maximum.accumulate(distinction(predictions)) >= LEAST_DISTINCTION
    return np.where(begun, values, np.nan)


def agreement_loss(predictions: Predictions, plain_share: float = PLAIN_SHARE) -> Array:
    """Loss against the steady labels: ``plain_share`` of it on the plain probe, the rest on the perturbed one."""
    labels = predictions.average(MOMENTUM).argmax(-1)
    perturbed = label_loss(predictions.log_perturbed, labels)
    return plain_share * label_loss(predictions.log_p, labels) + (1 - plain_share) * perturbed


def loss_signal(predictions: Predictions) -> Array:
    """The frozen signal for the lowest test loss: agreement loss + 3 × imbalance + memorisation gap."""
    values = agreement_loss(predictions) + IMBALANCE_WEIGHT * imbalance(predictions) + memorization_gap(predictions)
    return after_distinction(predictions, values)


def accuracy_signal(predictions: Predictions) -> Array:
    """The frozen signal for the highest test accuracy: the same + half the disagreement with the average."""
    return loss_signal(predictions) + 0.5 * disagreement(predictions)


def smoothed(values: Array, weight: float = 0.5) -> Array:
    """S_t = w v_t + (1 − w) s_{t−1} with s_1 = v_1."""
    result = values.astype(np.float64).copy()
    for t in range(1, len(result)):
        result[t] = weight * values[t] + (1 - weight) * result[t - 1]
    return result

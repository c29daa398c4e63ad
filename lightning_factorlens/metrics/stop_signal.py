"""Signals for stopping without labels: what rises where the test loss does, or falls where the test accuracy rises.

s = 0.4 · ℓ(T x) + 0.6 · ℓ(x) + 3 · KL(p̄ ‖ uniform) + max(0, H − L), lower is better, with

- ℓ: the cross-entropy of the predictions against the labels ỹ of the moving average of all predictions so far
  (`temporal_ensemble`), for the slightly shifted probe T x and for the probe x itself;
- p̄: the mean prediction, which detects a network that predicts the same class for every input;
- H: the mean entropy of the predictions for the probe, and L the mean training loss: the **memorisation gap**. A
  network that is calibrated and has memorised nothing is as uncertain about new inputs as its training loss says.

For the accuracy, half the fraction of the inputs whose predicted class differs from ỹ is added. The weights were chosen
on the development runs of the second campaign in ``benchmarks/stopping``, where the figures are. Both signals begin
with the first observation at which the network tells its inputs apart (`distinction`).
"""

from __future__ import annotations

import math

from torch import Tensor

from lightning_factorlens.metrics.confidence import entropy, kl_to_uniform
from lightning_factorlens.metrics.consistency import pseudo_label_cross_entropy
from lightning_factorlens.metrics.probabilities import clip_negative, count_missing

#: Share of the probe as it is in the loss against the labels; the shifted probe has the rest.
PLAIN_SHARE = 0.6
IMBALANCE_WEIGHT = 3.0
DISAGREEMENT_WEIGHT = 0.5
#: Below it a network does not tell its inputs apart yet, and agrees with itself for that reason.
LEAST_DISTINCTION = 0.1


def loss_signal(
    outputs: Tensor,
    shifted: Tensor,
    labels: Tensor,
    training_loss: float | None = None,
    is_probability: bool | None = None,
) -> float:
    """The value that the lens logs as ``factorlens/loss_signal``, which follows the test loss.

    Args:
        outputs: The model's outputs for the probe, shape (N, K): logits, log probabilities or probabilities.
        shifted: Its outputs for the shifted probe, shape (N, K).
        labels: Pseudo-labels ỹ, shape (N,), from `TemporalEnsemble.update`.
        training_loss: Mean cross-entropy of the training batches since the last observation, in nats; None where it is
            not known, and the memorisation gap counts as 0.
        is_probability: See `log_probabilities`, which decides for each tensor if it is None.

    Returns:
        s ≥ 0, in nats. NaN where one of the outputs is no prediction or the training loss is NaN.

    Example:
        >>> import torch
        >>> outputs = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
        >>> labels = torch.tensor([0, 1])
        >>> round(loss_signal(outputs, outputs, labels), 4)
        0.0181
        >>> round(loss_signal(outputs, outputs, labels, training_loss=0.01), 4)
        0.0982
    """
    plain_loss = pseudo_label_cross_entropy(labels, [outputs], is_probability)
    shifted_loss = pseudo_label_cross_entropy(labels, [shifted], is_probability)
    agreement_loss = PLAIN_SHARE * plain_loss + (1 - PLAIN_SHARE) * shifted_loss
    imbalance = kl_to_uniform(outputs, is_probability)
    gap = 0.0
    if training_loss is not None:
        gap = memorization_gap(outputs, training_loss, is_probability)
    return agreement_loss + IMBALANCE_WEIGHT * imbalance + gap


def accuracy_signal(loss_signal_value: float, outputs: Tensor, labels: Tensor) -> float:
    """The value that the lens logs as ``factorlens/accuracy_signal``, which falls where the test accuracy rises.

    Args:
        loss_signal_value: The result of `loss_signal`.
        outputs: The model's outputs for the probe, shape (N, K).
        labels: Pseudo-labels ỹ, shape (N,).

    Returns:
        The loss signal plus half the fraction of the inputs whose predicted class is not ỹ.

    Example:
        >>> import torch
        >>> accuracy_signal(1.0, torch.tensor([[4.0, 0.0], [0.0, 4.0]]), torch.tensor([0, 0]))
        1.25
    """
    if count_missing(outputs):
        return math.nan  # `argmax` would take the class of the NaN
    disagreement = float((outputs.argmax(1) != labels.to(outputs.device)).double().mean())
    return loss_signal_value + DISAGREEMENT_WEIGHT * disagreement


def memorization_gap(outputs: Tensor, training_loss: float, is_probability: bool | None = None) -> float:
    """How much more uncertain the network is about the probe than its training loss says: max(0, H − L).

    Args:
        outputs: The model's outputs for the probe, shape (N, K).
        training_loss: Mean cross-entropy of the training batches, in nats.
        is_probability: See `log_probabilities`.

    Returns:
        A number ≥ 0, in nats. It is 0 too where augmentation, dropout or label smoothing raises the training loss.

    Example:
        >>> import torch
        >>> round(memorization_gap(torch.zeros(3, 2), training_loss=0.5), 4)  # log 2 − 0.5
        0.1931
    """
    return clip_negative(entropy(outputs, is_probability) - training_loss)


def distinction(outputs: Tensor, is_probability: bool | None = None) -> float:
    """How far the outputs tell the inputs apart: the mutual information of both, as a fraction of the largest possible.

    It is 1 − H / H(p̄), with H the mean entropy of the predictions and H(p̄) the entropy of their mean.

    Args:
        outputs: Shape (N, K).
        is_probability: See `log_probabilities`.

    Returns:
        From 0, the same prediction for every input, to 1; 0 where one class alone is predicted.

    Example:
        >>> import torch
        >>> round(distinction(100 * torch.eye(2)), 4), distinction(torch.zeros(3, 2))
        (1.0, 0.0)
    """
    entropy_of_mean = math.log(outputs.shape[1]) - kl_to_uniform(outputs, is_probability)
    if entropy_of_mean <= 0:
        return 0.0
    return clip_negative(1 - entropy(outputs, is_probability) / entropy_of_mean)

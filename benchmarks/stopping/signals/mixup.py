"""Mix-up consistency: whether the prediction for a mixture of two images is the mixture of their predictions.

Zhang, Cisse, Dauphin and Lopez-Paz (2018), "mixup: Beyond empirical risk minimization", train for this with labels. On
unlabelled images it measures how linear the network is between images, and needs no choice of a transform.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmarks.stopping.signals.prediction_consistency import weighted_logs
from lightning_factorlens.metrics.probabilities import clip_negative, count_missing, log_probabilities


def mixed_images(images: Tensor, fraction: float = 0.5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Mixes each image with another one; the pairs depend on the seed and the number of images alone.

    Args:
        images: Shape (N, …), at least two images.
        fraction: Weight of the image itself; its partner has the weight 1 − fraction.
        seed: Seed of the draw of pairs.

    Returns:
        The mixtures fraction·x_i + (1 − fraction)·x_partner(i), and the partners, shape (N,). No image is its own
        partner.

    Raises:
        ValueError: The fraction is outside (0, 1), or there are fewer than two images.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction: must lie between 0 and 1, found {fraction!r}.")
    if len(images) < 2:
        raise ValueError(f"images: mixing needs at least two images, found {len(images)}.")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)  # one cycle through all images, so that no image is its own partner
    partner = partner.to(images.device)
    return fraction * images + (1 - fraction) * images[partner], partner


def mixup_consistency(outputs: Tensor, mixed: Tensor, partner: Tensor, fraction: float = 0.5) -> float:
    """KL divergence from the mixture of two predictions to the prediction for the mixture.

    Args:
        outputs: Outputs for the plain images, shape (N, K).
        mixed: Outputs for the mixtures, the same shape.
        partner: The partners that `mixed_images` returned.
        fraction: The fraction that was given to `mixed_images`.

    Returns:
        The mean over images, ≥ 0, in nats.
    """
    p = log_probabilities(outputs).exp().double()
    target = fraction * p + (1 - fraction) * p[partner]
    log_q = log_probabilities(mixed).double()
    divergence = torch.xlogy(target, target) - weighted_logs(target, log_q)
    return clip_negative(float(divergence.sum(1).mean()))


def hard_mixup_consistency(outputs: Tensor, mixed: Tensor, partner: Tensor, fraction: float = 0.5) -> float:
    """Mix-up's training loss with the classes predicted for the plain images in place of labels.

    −fraction·log q(ŷ_i) − (1 − fraction)·log q(ŷ_partner), with q the prediction for the mixture.

    Args:
        outputs: Outputs for the plain images, shape (N, K).
        mixed: Outputs for the mixtures, the same shape.
        partner: The partners that `mixed_images` returned.
        fraction: The fraction that was given to `mixed_images`.

    Returns:
        The mean over images, ≥ 0, in nats.
    """
    if count_missing(outputs) or count_missing(mixed):
        return math.nan  # `argmax` would take the class of the NaN
    predicted = outputs.argmax(1)
    log_q = log_probabilities(mixed).double()
    own = log_q.gather(1, predicted[:, None])
    other = log_q.gather(1, predicted[partner][:, None])
    return float(-(fraction * own + (1 - fraction) * other).mean())

"""Mix-up consistency: is the prediction for a mixture of two images the mixture of their predictions?

Mix-up (Zhang et al. 2018) trains for this with labels; measured on unlabeled images it asks how straight the network's
answers run between images, and needs no transform to be chosen.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.metrics.probabilities import log_probabilities


def mixed_images(images: Tensor, share: float = 0.5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Each image mixed with another one, the same pairs at every look.

    Args:
        images: The probe, shape (N, …), at least two.
        share: Of the image itself.
        seed: Of the draw of pairs.

    Returns:
        share·x_i + (1 − share)·x_partner(i), and the partners, shape (N,), none its own.

    Raises:
        ValueError: A share outside (0, 1), or fewer than two images.
    """
    if not 0 < share < 1:
        raise ValueError(f"share: must lie between 0 and 1, found {share!r}.")
    if len(images) < 2:
        raise ValueError(f"images: mixing needs at least two, found {len(images)}.")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)  # one cycle through all: nobody is his own partner
    partner = partner.to(images.device)
    return share * images + (1 - share) * images[partner], partner


def mixup_consistency(outputs: Tensor, mixed: Tensor, partner: Tensor, share: float = 0.5) -> float:
    """KL divergence from the mixture of two predictions to the prediction for the mixture.

    Args:
        outputs: Of the plain probe, shape (N, K).
        mixed: Of the mixed probe, the same shape.
        partner: From `mixed_images`.
        share: As there.

    Returns:
        Mean over images, ≥ 0, in nats.
    """
    p = log_probabilities(outputs).exp().double()
    target = share * p + (1 - share) * p[partner]
    divergence = torch.xlogy(target, target) - target * log_probabilities(mixed).double()
    return max(0.0, float(divergence.sum(1).mean()))


def hard_mixup_consistency(outputs: Tensor, mixed: Tensor, partner: Tensor, share: float = 0.5) -> float:
    """Mix-up's training loss with the plain probe's own classes for labels.

    −share·log q(ŷ_i) − (1 − share)·log q(ŷ_partner), q the prediction for the mixture.

    Args:
        outputs: Of the plain probe, shape (N, K).
        mixed: Of the mixed probe, the same shape.
        partner: From `mixed_images`.
        share: As there.

    Returns:
        Mean over images, ≥ 0, in nats.
    """
    choice, log_q = outputs.argmax(1), log_probabilities(mixed).double()
    own, other = log_q.gather(1, choice[:, None]), log_q.gather(1, choice[partner][:, None])
    return float(-(share * own + (1 - share) * other).mean())

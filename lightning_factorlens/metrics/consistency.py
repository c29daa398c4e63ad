"""Consistency of the predictions under small shifts of the probe: a stop signal that needs no labels.

c = −mean_i log p(ỹ_i | T x_i) + KL(p̄ ‖ uniform), with T a small shift, ỹ_i the label that a moving average of the
predictions for x_i gives (see `temporal_ensemble`), and p̄ the mean prediction over the unshifted probe. The first term
is the test loss with pseudo-labels; the second detects a network that gives the same answer to everything, which would
be perfectly consistent. Lower is better. Over this project's runs c turned when the test loss did, at constant learning
rates; under an annealed rate the two part (see ``benchmarks/stopping``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_factorlens.metrics.confidence import kl_to_uniform
from lightning_factorlens.metrics.probabilities import log_probabilities


def consistency(outputs: Tensor, shifted: Tensor, labels: Tensor | None = None) -> float:
    """The value that the lens logs as ``factorlens/consistency``.

    Args:
        outputs: The model's outputs for the probe, shape (N, K): logits, log probabilities or probabilities.
        shifted: Its outputs for the shifted probe (`alternating_shift`), shape (N, K).
        labels: Pseudo-labels ỹ, shape (N,), from `TemporalEnsemble.update`; the classes that ``outputs`` predict
            unless given.

    Returns:
        c ≥ 0, in nats.

    Example:
        >>> outputs = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
        >>> round(consistency(outputs, outputs), 4)
        0.0181
    """
    labels = outputs.argmax(1) if labels is None else labels
    return pseudo_label_cross_entropy(labels, [shifted]) + kl_to_uniform(outputs)


def pseudo_label_cross_entropy(labels: Tensor, transformed: Sequence[Tensor]) -> float:
    """Cross-entropy of the transformed probe's predictions against given labels.

    Args:
        labels: Classes, shape (N,).
        transformed: Outputs for each transformed probe, shape (N, K).

    Returns:
        Mean over images and transforms of −log p(ỹ_i | T_k x_i), ≥ 0, in nats.
    """
    log_p = torch.stack([log_probabilities(outputs) for outputs in transformed])
    index = labels.expand(len(transformed), -1)[..., None]
    picked = log_p.gather(2, index)
    return float(-picked.double().mean())


def default_shift(images: Tensor) -> int | None:
    """One pixel in sixteen: 1 for 28 × 28, 2 for 32 × 32; None where a shift has no meaning.

    Args:
        images: Shape (N, C, H, W), or anything else.

    Example:
        >>> default_shift(torch.zeros(1, 3, 32, 32)), default_shift(torch.zeros(1, 10))
        (2, None)
    """
    if images.ndim != 4 or min(images.shape[-2:]) < 4:
        return None
    return max(1, min(images.shape[-2:]) // 16)


def alternating_shift(images: Tensor, pixels: int) -> Tensor:
    """The probe rolled along the diagonal: even images by ``pixels`` down and right, odd ones up and left.

    It takes one forward pass instead of two, and is as good a signal on the development records of
    ``benchmarks/stopping``. Alternating the direction from one observation to the next costs the same and makes the
    curve jump.

    Args:
        images: Shape (N, C, H, W).
        pixels: Size of the shift.

    Returns:
        Shape (N, C, H, W).
    """
    shifted = torch.roll(images, (pixels, pixels), (-2, -1))
    shifted[1::2] = torch.roll(images[1::2], (-pixels, -pixels), (-2, -1))
    return shifted

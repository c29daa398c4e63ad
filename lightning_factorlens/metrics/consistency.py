"""Consistency of the predictions under small shifts of the probe: a stop signal that needs no labels.

c = −mean_i log p(ỹ_i | T x_i) + KL(p̄ ‖ uniform), with T a small shift, ỹ_i the label that a moving average of the
predictions for x_i gives (see `temporal_ensemble`), and p̄ the mean prediction over the unshifted probe. The first term
is the test loss with pseudo-labels; the second detects a network that predicts the same class for every image, which
would be perfectly consistent. Lower is better. In the runs of ``benchmarks/stopping`` at constant learning rates, c
began to rise when the test loss did; under an annealed rate the two differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_factorlens.metrics.confidence import kl_to_uniform
from lightning_factorlens.metrics.probabilities import log_probabilities


def consistency(
    outputs: Tensor, shifted: Tensor, labels: Tensor | None = None, is_probability: bool | None = None
) -> float:
    """The value that the lens logs as ``factorlens/consistency``.

    Args:
        outputs: The model's outputs for the probe, shape (N, K): logits, log probabilities or probabilities.
        shifted: Its outputs for the shifted probe (`alternating_shift`), shape (N, K).
        labels: Pseudo-labels ỹ, shape (N,), from `TemporalEnsemble.update`; the classes that ``outputs`` predict
            unless given.
        is_probability: See `log_probabilities`, which decides for each tensor if it is None.

    Returns:
        c ≥ 0, in nats; infinite where the probability of a label is 0, because its logit is −inf. NaN where one of the
        outputs is no prediction, see `count_missing`, and where there are none.

    Example:
        >>> outputs = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
        >>> round(consistency(outputs, outputs), 4)
        0.0181
    """
    if labels is None:
        labels = outputs.argmax(1)  # also of a NaN, for which the second term is NaN
    cross_entropy = pseudo_label_cross_entropy(labels, [shifted], is_probability)
    return cross_entropy + kl_to_uniform(outputs, is_probability)


def pseudo_label_cross_entropy(
    labels: Tensor, transformed: Sequence[Tensor], is_probability: bool | None = None
) -> float:
    """Cross-entropy of the transformed probe's predictions against given labels.

    Args:
        labels: Classes, shape (N,); a negative one says that no prediction is known.
        transformed: Outputs for each transformed probe, shape (N, K).
        is_probability: See `log_probabilities`, which decides for each tensor if it is None.

    Returns:
        Mean over images and transforms of −log p(ỹ_i | T_k x_i), ≥ 0, in nats. NaN where a label is not known or an
        output is no prediction.

    Example:
        >>> round(pseudo_label_cross_entropy(torch.tensor([0, 1]), [torch.zeros(2, 2)]), 4)
        0.6931
    """
    if bool((labels < 0).any()):
        return math.nan
    log_p = torch.stack([log_probabilities(outputs, is_probability) for outputs in transformed])
    index = labels.expand(len(transformed), -1)[..., None]
    picked = log_p.gather(2, index)
    return float(-picked.double().mean())


def default_shift(images: Tensor) -> int | None:
    """The default size of the shift: a sixteenth of the shorter side.

    Args:
        images: Shape (N, C, H, W), or inputs of another shape.

    Returns:
        Whole pixels, at least 1; None for inputs that are no images, or images below 4 × 4 pixels.

    Example:
        >>> default_shift(torch.zeros(1, 3, 32, 32)), default_shift(torch.zeros(1, 10))
        (2, None)
    """
    if images.ndim != 4 or min(images.shape[-2:]) < 4:
        return None
    return max(1, min(images.shape[-2:]) // 16)


def alternating_shift(images: Tensor, pixels: int) -> Tensor:
    """Rolls the probe along the diagonal: even images by ``pixels`` down and right, odd ones up and left.

    One forward pass of it gives as good a signal as two of both directions on the development records of
    ``benchmarks/stopping``. Alternating the direction from one observation to the next would cost as little, but makes
    the curve jump.

    Args:
        images: Shape (N, C, H, W).
        pixels: Size of the shift.

    Returns:
        Shape (N, C, H, W).

    Example:
        >>> images = torch.arange(3.0).repeat(2, 1, 3, 1)
        >>> alternating_shift(images, 1)[:, 0, 0]
        tensor([[2., 0., 1.],
                [1., 2., 0.]])
    """
    shifted = torch.roll(images, (pixels, pixels), (-2, -1))
    shifted[1::2] = torch.roll(images[1::2], (-pixels, -pixels), (-2, -1))
    return shifted

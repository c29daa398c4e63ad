"""Consistency against steady labels: the transformed probe judged by what the network has been saying for some epochs.

The labels ỹ_i = argmax q_t(· | x_i) come from a moving average of the plain probe's predictions over the looks,
q_t = m q_{t−1} + (1 − m) p_t, q_1 = p_1 (temporal ensembling, Laine and Aila 2017), and
c_t = mean over images i and transforms T_k of −log p_t(ỹ_i | T_k x_i). Two kinds of variance meet in it: that of the
answers over small transforms, as in `consistency`, and that over epochs, which grows when a network memorises. Unlike
an average of the weights it costs no pass of its own, only N × K numbers to be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.metrics.consistency import log_probabilities


@dataclass
class TemporalEnsemble:
    """The moving average of the predictions for the same images.

    Attributes:
        memory: Share of the old average that is kept at a look; 0 for the network's own present choice.
        average: Probabilities, shape (N, K); None before the first look. All that a checkpoint needs.
    """

    momentum: float = 0.8
    average: Tensor | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.momentum, (int, float)) or not 0 <= self.momentum < 1:
            raise ValueError(f"memory: must be at least 0 and below 1, found {self.momentum!r}.")

    def update(self, outputs: Tensor) -> Tensor:
        """A look at the plain probe.

        Args:
            outputs: Of the plain probe, shape (N, K).

        Returns:
            The labels ỹ after this look, shape (N,). Outputs that are not finite leave the average as it was.

        Raises:
            ValueError: Other images or classes than before.
        """
        p = log_probabilities(outputs).exp()
        if not bool(p.isfinite().all()):  # a look that failed must not spoil those to come
            return (p if self.average is None else self.average).argmax(1)
        if self.average is None:
            self.average = p
        elif self.average.shape != p.shape:
            raise ValueError(
                f"outputs: must be of the images and classes of the looks before, shape {tuple(self.average.shape)}, "
                f"found {tuple(p.shape)}; begin with new SteadyLabels for another probe."
            )
        else:
            self.average = self.momentum * self.average.to(p) + (1 - self.momentum) * p
        return self.average.argmax(1)


def pseudo_label_cross_entropy(labels: Tensor, transformed: Sequence[Tensor]) -> float:
    """Cross-entropy of the transformed probe's predictions against given labels.

    Args:
        labels: Classes, shape (N,).
        transformed: Outputs of each transformed probe, shape (N, K).

    Returns:
        c ≥ 0, in nats.
    """
    log_p = torch.stack([log_probabilities(t) for t in transformed])
    return float(-log_p.gather(2, labels.expand(len(transformed), -1)[..., None]).double().mean())

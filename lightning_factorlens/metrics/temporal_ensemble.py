"""Pseudo-labels from a moving average of the predictions over the observations of a run.

ỹ_i = argmax q_t(· | x_i) with q_t = m q_{t−1} + (1 − m) p_t and q_1 = p_1, after Laine and Aila (2017), "Temporal
ensembling for semi-supervised learning". The cross-entropy against ỹ contains the predictions' variance over epochs,
which grows when a network memorises, in addition to their variance under small shifts. Unlike an average of the
weights, the ensemble needs no further forward pass, only N × K numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lightning_factorlens.metrics.probabilities import log_probabilities


@dataclass
class TemporalEnsemble:
    """The moving average of the predictions for the same images.

    Example:
        >>> import torch
        >>> ensemble = TemporalEnsemble(momentum=0.8)
        >>> ensemble.update(torch.tensor([[3.0, 0.0], [0.0, 3.0]]))
        tensor([0, 1])

    Attributes:
        momentum: Weight m of the old average; 0 takes the present predictions alone.
        average: Probabilities, shape (N, K); None before the first update. A checkpoint needs nothing else.

    Raises:
        ValueError: A momentum outside [0, 1).
    """

    momentum: float = 0.8
    average: Tensor | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.momentum, (int, float)) or not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: must be at least 0 and below 1, found {self.momentum!r}; 0 averages nothing.")

    def update(self, outputs: Tensor, is_probability: bool | None = None) -> Tensor:
        """Adds the outputs of one observation.

        Args:
            outputs: The model's outputs for the probe, shape (N, K). Where one of them is no prediction, see
                `count_missing`, the average is left unchanged.
            is_probability: See `log_probabilities`.

        Returns:
            The labels ỹ after this update, shape (N,); −1 for an image without any prediction yet.

        Raises:
            ValueError: Outputs for other images or classes than before.
        """
        p = log_probabilities(outputs, is_probability).exp()
        if not bool(p.isfinite().all()):
            if self.average is not None:
                return self.average.argmax(1)
            return p.argmax(1).masked_fill(p.isnan().any(1), -1)
        if self.average is None:
            self.average = p
        elif self.average.shape != p.shape:
            raise ValueError(
                f"outputs: must be for the images and classes of earlier updates, shape {tuple(self.average.shape)}, "
                f"found {tuple(p.shape)}; start a new TemporalEnsemble for another probe."
            )
        else:
            self.average = self.momentum * self.average.to(p) + (1 - self.momentum) * p
        return self.average.argmax(1)

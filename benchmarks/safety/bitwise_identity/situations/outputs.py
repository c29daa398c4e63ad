"""Models whose outputs are no class scores."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.safety.bitwise_identity.situations.base import Classifier, Situation, trains
from benchmarks.safety.bitwise_identity.situations.data import CLASSES


class Regression(Classifier):
    """Predicts the brightness of an image."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns the prediction, shape (N,)."""
        return self.net(x).mean(1)

    def loss(self, batch: Any) -> Tensor:
        """The squared error."""
        return nn.functional.mse_loss(self(batch[0]), batch[0].mean((1, 2, 3)))


class Contrastive(Classifier):
    """Pulls two views of an image together; the views are drawn in the loss."""

    def loss(self, batch: Any) -> Tensor:
        """The loss over all pairs (InfoNCE)."""
        views = [self(batch[0] + 0.1 * torch.randn_like(batch[0])) for _ in range(2)]
        a, b = (nn.functional.normalize(view, dim=1) for view in views)
        return nn.functional.cross_entropy(a @ b.T / 0.5, torch.arange(len(a)))


class Segmentation(Classifier):
    """Classifies every pixel."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, CLASSES, 1)))

    def forward(self, x: Tensor) -> Any:
        """Returns the scores of all pixels, shape (N, 3, H, W), in a dictionary as torchvision does."""
        return {"out": self.net(x)}

    def loss(self, batch: Any) -> Tensor:
        """The loss over all pixels."""
        return nn.functional.cross_entropy(self(batch[0])["out"], batch[0].argmax(1))


class MultiLabel(Classifier):
    """Predicts several labels of an image."""

    def loss(self, batch: Any) -> Tensor:
        """The binary cross-entropy."""
        return nn.functional.binary_cross_entropy_with_logits(self(batch[0]), (batch[0].mean((2, 3)) > 0.5).float())


class Variational(Classifier):
    """A variational autoencoder, which draws its code in every forward pass and returns several tensors."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 8)))
        self.decoder = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 192))

    def forward(self, x: Tensor) -> Any:
        """Returns the reconstruction, the means and the logarithms of the variances."""
        mean, log_variance = self.net(x).chunk(2, dim=1)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.decoder(code).view_as(x), mean, log_variance

    def loss(self, batch: Any) -> Tensor:
        """The squared error and the divergence."""
        output, mean, log_variance = self(batch[0])
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean()
        return nn.functional.mse_loss(output, batch[0]) + 0.01 * divergence


class Heads(NamedTuple):
    """The outputs of a model with two heads."""

    classes: Tensor
    parity: Tensor


class MultiTask(Classifier):
    """Classifies by two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Linear(CLASSES, 2)

    def forward(self, x: Tensor) -> Any:
        """Returns the scores of both heads."""
        scores = self.net(x)
        return Heads(scores, self.second(scores.relu()))

    def loss(self, batch: Any) -> Tensor:
        """The sum of both losses."""
        heads = self(batch[0])
        return nn.functional.cross_entropy(heads[0], batch[1]) + nn.functional.cross_entropy(heads[1], batch[1] % 2)


SITUATIONS = tuple(
    Situation("output", name, trains(module))
    for name, module in (
        ("regression", Regression),
        ("contrastive embeddings", Contrastive),
        ("segmentation in a dictionary", Segmentation),
        ("several labels", MultiLabel),
        ("variational autoencoder", Variational),
        ("two heads", MultiTask),
    )
)

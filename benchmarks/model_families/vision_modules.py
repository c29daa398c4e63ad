"""LightningModules of image and video models, written as tutorials write them."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F


class Classifier(LightningModule):
    """Cross-entropy of class scores."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Any:
        """Returns the class scores."""
        return self.net(images)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Returns the loss of a batch of images and labels."""
        images, labels = batch
        loss = F.cross_entropy(self(images), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Logs the loss of a batch of images and labels."""
        images, labels = batch
        self.log("val_loss", F.cross_entropy(self(images), labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Stochastic gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=1e-3, momentum=0.9)


class AuxiliaryClassifier(Classifier):
    """A classifier whose model returns the scores of auxiliary heads too while it is trained, as GoogLeNet does."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Returns the loss of all heads, those of the auxiliary ones weighted by 0.3 as in the paper."""
        images, labels = batch
        scores, *auxiliary = self(images)
        loss = F.cross_entropy(scores, labels)
        for scores in auxiliary:
            loss = loss + 0.3 * F.cross_entropy(scores, labels)
        self.log("train_loss", loss)
        return loss


class Segmenter(Classifier):
    """Cross-entropy of every pixel's class scores; torchvision's models return them in a dictionary."""

    def forward(self, images: Tensor) -> Tensor:
        """Returns the scores, shape (N, classes, H, W)."""
        return self.net(images)["out"]


class Detector(LightningModule):
    """torchvision's detection models: lists of images and targets in; losses out, or detections in eval mode."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Any, targets: Any = None) -> Any:
        """Returns a list of detections, or in training mode a dictionary of losses."""
        return self.net(images, targets)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Returns the sum of the model's losses."""
        images, targets = batch
        losses = self(list(images), list(targets))
        loss = torch.stack(list(losses.values())).sum()
        self.log("train_loss", loss, batch_size=len(images))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Logs the number of detections."""
        images, _ = batch
        detections = self(list(images))
        n_detected = sum(len(detected["boxes"]) for detected in detections)
        self.log("val_detections", float(n_detected), batch_size=len(images))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Stochastic gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=1e-4, momentum=0.9)

"""What a situation is: a training, and the lens that is added to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.safety.bitwise_identity.situations.data import BATCH_SIZE, CLASSES, N_VALIDATION, Images
from benchmarks.safety.bitwise_identity.train import small_lens
from lightning_factorlens import LabelFreeStopping


def small_net(channels: int = 3) -> nn.Sequential:
    """A CNN with batch norm for images of any size."""
    layers = [nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))


class Classifier(LightningModule):
    """Trains a network on pairs of inputs and labels; the base of other modules."""

    def __init__(self, net: nn.Module | None = None) -> None:
        super().__init__()
        self.net = small_net() if net is None else net

    def forward(self, x: Tensor) -> Any:
        """Returns the scores, shape (N, 3)."""
        return self.net(x)

    def loss(self, batch: Any) -> Tensor:
        """The loss of a batch."""
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Logs the loss at every step and epoch."""
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True, batch_size=1)
        return loss

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Logs the loss."""
        self.log("val_loss", self.loss(batch), batch_size=1)

    def configure_optimizers(self) -> Any:
        """Gradient descent with momentum."""
        return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], 0.05, momentum=0.9)


def training_loader(**options: Any) -> DataLoader[Any]:
    """24 images in batches of 8, shuffled."""
    return DataLoader(Images(), BATCH_SIZE, shuffle=True, **options)


def validation_loader(**options: Any) -> DataLoader[Any]:
    """16 images in batches of 8."""
    return DataLoader(Images(N_VALIDATION, seed=1), BATCH_SIZE, **options)


@dataclass
class Training:
    """What a user gives to a Trainer.

    Attributes:
        module: The model.
        train: The loader for training, or a data module.
        validation: The loader for validation, several of them, or None.
        trainer: Options of the Trainer.
        callbacks: Callbacks of the user, before the lens.
        objects: Objects besides the data and the module whose state must not depend on the lens.
        ends_with: The exception in which the training ends.
    """

    module: LightningModule = field(default_factory=Classifier)
    train: Any = field(default_factory=training_loader)
    validation: Any = field(default_factory=validation_loader)
    trainer: dict[str, Any] = field(default_factory=dict)
    callbacks: list[Callback] = field(default_factory=list)
    objects: Any = None
    ends_with: type[BaseException] | None = None


def trains(module: Callable[[], Classifier]) -> Callable[[Path], Training]:
    """A training of a module on plain images."""
    return lambda _: Training(module=module())


@dataclass(frozen=True)
class Situation:
    """One training as a user writes it.

    Attributes:
        topic: Which object of the training matters.
        name: What is particular, in words.
        make: Makes the training anew, with a folder for files.
        lens: Options of the lens, as `small_lens` takes them.
        lens_fails: Whether the lens is made to fail, which must not change the training either.
        restores_best: Whether a callback keeps the weights of the best epoch, and restores them after the end.
    """

    topic: str
    name: str
    make: Callable[[Path], Training]
    lens: dict[str, Any] = field(default_factory=dict)
    lens_fails: bool = False
    restores_best: bool = False

    def __str__(self) -> str:
        return f"{self.topic}: {self.name}"

    def __reduce__(self) -> tuple[Callable[[str], Situation], tuple[str]]:
        """Another process finds the situation by its name, as `make` cannot be pickled."""
        from benchmarks.safety.bitwise_identity.situations.registry import find_situation

        return find_situation, (str(self),)

    def callbacks(self) -> list[Callback]:
        """The lens that is added, and the callback that reads it."""
        callbacks: list[Callback] = [small_lens(**self.lens)]
        if self.restores_best:
            callbacks.append(LabelFreeStopping(restore_best=True, verbose=False))
        return callbacks

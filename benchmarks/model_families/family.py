"""What is declared of a family of models: its smallest representative, how it is trained, which argument it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import LightningModule
from torch.utils.data import DataLoader, Dataset

#: Samples of the validation set, all of which are in the probe, and of the training set.
VALIDATION_SAMPLES = 32
TRAINING_SAMPLES = 16
BATCH_SIZE = 8


@dataclass(frozen=True)
class Task:
    """A model in the user's LightningModule, and the user's data loaders."""

    module: LightningModule
    train_loader: Any
    val_loader: Any


@dataclass(frozen=True)
class Family:
    """A family of models, represented by a small one of its models.

    Attributes:
        name: Library, task and family, such as ``"torchvision.detection.ssd"``.
        model: The representative, as Python source or in words.
        make: Builds the representative with random weights, and its data. It is called once for each training.
        packages: Importable packages that it needs.
        argument: The one argument that is passed to `FactorLensCallback` where it does not run without, as Python
            source; empty where none is known.
    """

    name: str
    model: str
    make: Callable[[], Task]
    packages: tuple[str, ...] = ()
    argument: str = ""

    @property
    def group(self) -> str:
        """Library and task, such as ``"torchvision.detection"``."""
        return self.name.rpartition(".")[0]


def make_task(
    module: LightningModule,
    training: Dataset[Any],
    validation: Dataset[Any],
    batch_size: int = BATCH_SIZE,
    collate_fn: Callable[[list[Any]], Any] | None = None,
) -> Task:
    """A task with a shuffling loader of the training data, and a loader of the validation data.

    Args:
        module: The model.
        training: The training set.
        validation: The validation set.
        batch_size: Samples in a batch of either loader.
        collate_fn: Makes a batch of a list of samples; None for that of torch.
    """
    train_loader = DataLoader(training, batch_size, shuffle=True, collate_fn=collate_fn)
    return Task(module, train_loader, DataLoader(validation, batch_size, collate_fn=collate_fn))

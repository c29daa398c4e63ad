"""The training of ``examples/digits.py``, with right labels: scikit-learn's handwritten digits and a small CNN."""

from __future__ import annotations

from collections.abc import Sequence
from tempfile import TemporaryDirectory

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from benchmarks.spectra.comparison import silence

IMAGES = 1000
PROBE_SIZE = 128
#: Passes over the training images in an epoch.
PASSES = 2


class Demo(LightningModule):
    """Two convolutions and a hidden layer, for images of 16 × 16 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 96, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(96, 192, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(192 * 4 * 4, 128), nn.ReLU(), nn.Linear(128, 10),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (N, 10)."""
        found: Tensor = self.net(x)
        return found

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy of one batch."""
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Empty: the callback takes its probe from the validation dataset."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def fit_demo(epochs: int, callbacks: Sequence[Callback]) -> None:
    """Trains the demo's network on one thread.

    Args:
        epochs: Number of epochs.
        callbacks: The Trainer's callbacks.
    """
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
    data = TensorDataset(x[:IMAGES], torch.tensor(labels[:IMAGES]))
    loader = DataLoader(data, batch_size=128, sampler=RandomSampler(data, num_samples=PASSES * IMAGES))
    unlabelled = TensorDataset(x[IMAGES : IMAGES + PROBE_SIZE])
    with TemporaryDirectory() as folder, silence():
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=TensorBoardLogger(folder),
            callbacks=list(callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Demo(), loader, DataLoader(unlabelled, batch_size=PROBE_SIZE))

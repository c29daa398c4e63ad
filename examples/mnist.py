"""A small CNN on MNIST, measured without labels.

python examples/mnist.py --data-dir DIR --epochs 3
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger
from shared import Classifier, Report, report_stop
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets import MNIST

from lightning_factorlens import FactorLensCallback, LabelFreeStopping


def load(data_dir: Path, train: bool) -> tuple[Tensor, Tensor]:
    """Pixels from 0 to 1, shape (n, 1, 28, 28), and labels; downloaded only if the folder has none."""
    is_downloaded = (data_dir / "MNIST" / "raw").exists()
    data = MNIST(data_dir, train=train, download=not is_downloaded)
    return data.data[:, None].float() / 255, data.targets


def main() -> None:
    """Trains, and prints a line per epoch, why training ended, and the test accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--log-dir", default="runs")
    args = parser.parse_args()
    seed_everything(1, verbose=False)

    x, y = load(args.data_dir, train=True)
    train = TensorDataset(x[:-5000], y[:-5000])
    unlabelled = TensorDataset(x[-5000:], y[-5000:])
    x_test, y_test = load(args.data_dir, train=False)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    stop = LabelFreeStopping(mode="stop", restore_best=True)
    lens = FactorLensCallback()
    report = Report(lens, x_test, y_test)
    trainer = Trainer(
        max_epochs=args.epochs,
        logger=TensorBoardLogger(args.log_dir, name="mnist"),
        callbacks=[lens, stop, report],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Classifier(net, partial(torch.optim.Adam, lr=1e-3))
    trainer.fit(model, DataLoader(train, batch_size=128, shuffle=True), DataLoader(unlabelled, batch_size=500))
    report_stop(trainer, stop, report)


if __name__ == "__main__":
    main()

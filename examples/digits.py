"""The demo: a small CNN on scikit-learn's handwritten digits, some labels wrong, watched and stopped without labels.

python examples/digits.py
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from shared import Classifier, Report, say_why_it_stopped
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens import FactorLensCallback


def network() -> nn.Module:
    """Two convolutions and a hidden layer for 16 × 16 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 4 * 4, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def main() -> None:
    """Trains, reports, stops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--wrong-labels", type=float, default=0.4, help="share of training labels that are wrong")
    parser.add_argument("--log-dir", default="runs")
    args = parser.parse_args()
    seed_everything(1, verbose=False)

    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(labels)
    x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear")  # a shift by one pixel of eight is too much
    order = torch.randperm(len(x))
    train, unlabeled, secret = order[:600], order[600:1000], order[1000:]
    y_train = y[train].clone()
    wrong = torch.rand(len(train)) < args.wrong_labels
    y_train[wrong] = torch.randint(0, 10, (int(wrong.sum()),))

    stop = EarlyStopping("factorlens/consistency", patience=10, check_on_train_epoch_end=True)
    trainer = Trainer(
        max_epochs=args.epochs,
        accelerator="cpu",
        logger=TensorBoardLogger(args.log_dir, name="digits"),
        callbacks=[FactorLensCallback(), stop, Report(x[secret], y[secret], tau=30)],
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=10,
    )
    model = Classifier(network(), partial(torch.optim.Adam, lr=2e-3))
    loader = DataLoader(TensorDataset(x[train], y_train), batch_size=32, shuffle=True)
    trainer.fit(model, loader, DataLoader(TensorDataset(x[unlabeled], y[unlabeled]), batch_size=100))
    say_why_it_stopped(trainer, stop)


if __name__ == "__main__":
    main()

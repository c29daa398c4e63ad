"""The demo: a small CNN on scikit-learn's handwritten digits, 40 % of the labels wrong, stopped without labels.

python examples/digits.py
python examples/digits.py --compare  # without a stop, and the same network on right labels beside it in TensorBoard
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from shared import Classifier, Report, report_stop
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens import FactorLensCallback, LabelFreeStopping

#: Epochs of each run with --compare.
COMPARED_EPOCHS = 30


def network() -> nn.Module:
    """Two convolutions and a hidden layer, for images of 16 × 16 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 4 * 4, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def digits() -> tuple[Tensor, Tensor]:
    """Images, shape (1797, 1, 16, 16), in [0, 1], and their labels."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    # Enlarged, because a shift by one pixel would change an image of 8 × 8 pixels too much.
    return nn.functional.interpolate(x, scale_factor=2, mode="bilinear"), torch.tensor(labels)


def run(epochs: int, wrong_labels: float, logger: TensorBoardLogger, stop: EarlyStopping | None) -> Trainer:
    """Trains one network, with a report after every epoch.

    Args:
        epochs: Largest number of epochs.
        wrong_labels: Fraction of the training labels that are replaced by random ones.
        logger: Where the curves are written.
        stop: The callback that stops the run; None to train for all epochs.

    Returns:
        The trainer, after training.
    """
    seed_everything(1, verbose=False)
    x, y = digits()
    order = torch.randperm(len(x))
    train = order[:600]
    unlabeled = order[600:1000]
    test = order[1000:]
    y_train = y[train].clone()
    wrong = torch.rand(len(train)) < wrong_labels
    y_train[wrong] = torch.randint(0, 10, (int(wrong.sum()),))

    report = Report(x[test], y[test], tau=30)
    advice = LabelFreeStopping(verbose=False)  # logs what the default rule would do, and changes nothing
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=logger,
        callbacks=[FactorLensCallback(), advice, report, *([stop] if stop else [])],
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=10,
    )
    model = Classifier(network(), partial(torch.optim.Adam, lr=2e-3))
    model.save_hyperparameters({"wrong_labels": wrong_labels, "max_epochs": epochs})
    loader = DataLoader(TensorDataset(x[train], y_train), batch_size=32, shuffle=True)
    trainer.fit(model, loader, DataLoader(TensorDataset(x[unlabeled], y[unlabeled]), batch_size=100))
    return trainer


def main() -> None:
    """Makes one run, or two to compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument(
        "--wrong-labels", type=float, default=0.4, help="fraction of the training labels that are random"
    )
    parser.add_argument("--log-dir", default="runs")
    parser.add_argument(
        "--compare", action="store_true", help=f"two runs of {COMPARED_EPOCHS} epochs, the second with right labels"
    )
    args = parser.parse_args()
    logger = TensorBoardLogger(args.log_dir, name="digits")
    if not args.compare:
        stop = EarlyStopping("factorlens/consistency", patience=10, check_on_train_epoch_end=True)
        trainer = run(args.epochs, args.wrong_labels, logger, stop)
        report_stop(trainer, stop)
        return
    number = logger.version
    for name, wrong_labels in (("wrong_labels", args.wrong_labels), ("right_labels", 0.0)):
        logger = TensorBoardLogger(args.log_dir, name="digits", version=f"version_{number}_{name}")
        print(f"\n{name.replace('_', ' ').capitalize()}:")
        run(min(args.epochs, COMPARED_EPOCHS), wrong_labels, logger, None)
    print(f"To see both: tensorboard --logdir {Path(logger.log_dir).parent}")


if __name__ == "__main__":
    main()

"""torchvision's ResNet-18 on CIFAR-10, with a stem for small images, measured without labels.

python examples/cifar10_resnet.py --data DIR            # torchvision's CIFAR-10, downloaded if it is missing
python examples/cifar10_resnet.py --data cifar10.npz    # or arrays train_x, train_y, test_x, test_y in one file

Without a GPU an epoch takes a quarter of an hour; `--images 2000` trains on fewer images.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger
from shared import Classifier, Report, report_stop
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets import CIFAR10
from torchvision.models import resnet18

from lightning_factorlens import FactorLensCallback, LabelFreeStopping, LensOptions
from lightning_factorlens.capture.signs import Denormalize

MEAN = (0.491, 0.482, 0.447)
STD = (0.247, 0.243, 0.262)


def load(path: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, then test images and labels; images are normalised, shape (n, 3, 32, 32)."""
    if path.suffix == ".npz":
        file = np.load(path)
        x, y, x_test, y_test = (file[name] for name in ("train_x", "train_y", "test_x", "test_y"))
    else:
        train = CIFAR10(path, train=True, download=True)
        test = CIFAR10(path, train=False, download=True)
        x, y, x_test, y_test = train.data, np.array(train.targets), test.data, np.array(test.targets)
    return normalize(x), torch.from_numpy(y).long(), normalize(x_test), torch.from_numpy(y_test).long()


def normalize(images: np.ndarray) -> Tensor:
    """From bytes, shape (n, 32, 32, 3), to normalised pixels, shape (n, 3, 32, 32)."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(MEAN)[:, None, None]
    std = torch.tensor(STD)[:, None, None]
    return (pixels - mean) / std


def cifar_resnet18() -> nn.Module:
    """ResNet-18 whose first convolution is 3 × 3 and not followed by pooling, for images of 32 × 32 pixels."""
    net = resnet18(num_classes=10)
    net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    net.maxpool = nn.Identity()
    return net


def main() -> None:
    """Trains, and prints a line per epoch and why training ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, help="training images; all but the last 1,000 unless given")
    parser.add_argument("--log-dir", default="runs")
    args = parser.parse_args()
    seed_everything(1, verbose=False)

    x, y, x_test, y_test = load(args.data)
    train = TensorDataset(x[:-1000][: args.images], y[:-1000][: args.images])
    unlabelled = TensorDataset(x[-1000:])
    lens = FactorLensCallback(lens=LensOptions(input_sign_policy=Denormalize(MEAN, STD)))
    stop = LabelFreeStopping(mode="stop", restore_best=True)
    report = Report(lens, x_test[:1000], y_test[:1000])
    trainer = Trainer(
        max_epochs=args.epochs,
        logger=TensorBoardLogger(args.log_dir, name="cifar10"),
        callbacks=[lens, stop, report],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Classifier(cifar_resnet18(), partial(torch.optim.Adam, lr=1e-3))
    trainer.fit(model, DataLoader(train, batch_size=64, shuffle=True), DataLoader(unlabelled, batch_size=250))
    report_stop(trainer, stop, report)


if __name__ == "__main__":
    main()

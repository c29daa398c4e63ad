"""FactorLens in a plain PyTorch loop, without a Trainer: a line per epoch, a stop without labels, and a figure.

python examples/plain_pytorch.py
"""

from __future__ import annotations

import argparse
import math
from copy import deepcopy
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from lightning_factorlens import FactorLens, LensOptions, default_measurements, write_jsonl
from lightning_factorlens.loggers.tables import epoch_line
from lightning_factorlens.stopping import EpochInfo, default_rule


def load_images() -> tuple[Tensor, Tensor]:
    """Scikit-learn's digits, enlarged to 16 × 16 pixels, and their labels."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    return nn.functional.interpolate(x, scale_factor=2, mode="bilinear"), torch.tensor(labels)


def make_model() -> nn.Sequential:
    """A small convolutional network for the digits."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def main() -> None:
    """Trains on 600 digits and observes through 200 others, whose labels are never used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("runs/plain"))
    args = parser.parse_args()
    torch.manual_seed(1)

    x, y = load_images()
    unlabelled = x[600:800]
    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    measurements = default_measurements()
    lens = FactorLens(model, LensOptions(ranks=(1, 2, 4, 8, 16)), measurements, outputs="classes")
    observations = [lens.observe(unlabelled)]
    print(lens)  # which layers are observed, and why
    rule = default_rule()
    state = rule.start()
    best_weights = deepcopy(model.state_dict())
    for epoch in range(1, args.epochs + 1):
        for batch in torch.randperm(600).split(32):
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            lens.record_loss(loss)
        observations.append(lens.observe(unlabelled, epoch=epoch, step=epoch * 19))
        print(epoch_line(observations[-1], measurements))
        signal = observations[-1]["consistency"]["accuracy_signal"]
        # The rate is constant: it will not fall any more.
        state, decision = rule.step(state, signal, EpochInfo(epoch, lr=2e-3, min_future_lr=math.inf))
        if decision.best_epoch == epoch:
            best_weights = deepcopy(model.state_dict())
        if decision.stop:
            break
    model.load_state_dict(best_weights)
    print(f"{decision.reason}; the model has the weights of epoch {decision.best_epoch}")

    last = observations[-1]
    print(last)  # in a notebook: `last` at the end of a cell, and `last.plot()`
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "observations.jsonl"
    write_jsonl(observations, path)
    figure, _ = last.plot()
    figure.savefig(args.out / "observation.png")
    print(f"Curves: {path}")


if __name__ == "__main__":
    main()

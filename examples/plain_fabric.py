"""FactorLens in a loop with Lightning Fabric: any accelerator, precision and number of processes, and Fabric's loggers.

python examples/plain_fabric.py --precision bf16-mixed --devices 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers import CSVLogger
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens import (
    FactorLens,
    default_measurements,
    epoch_line,
    get_process_group,
    monitored_scalars,
    other_scalars,
)


def main() -> None:
    """Trains on 600 digits and observes through 200 others, whose labels are never used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--out", type=Path, default=Path("runs/fabric"))
    args = parser.parse_args()
    logger = CSVLogger(args.out, name="", version="")
    fabric = Fabric(accelerator="cpu", devices=args.devices, precision=args.precision, loggers=logger)
    fabric.launch()
    fabric.seed_everything(1)

    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    y = torch.tensor(labels)
    unlabelled = x[600:800]
    loader = fabric.setup_dataloaders(DataLoader(TensorDataset(x[:600], y[:600]), 32, shuffle=True))
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    model, optimizer = fabric.setup(network, torch.optim.Adam(network.parameters(), lr=2e-3))

    measurements = default_measurements()
    # Layers have their names in `network`. Several processes divide the samples of each observation between them.
    group = get_process_group(fabric.device, fabric.world_size)
    lens = FactorLens(model, ranks=(1, 2, 4, 8), measurements=measurements, outputs="classes", process_group=group)
    step = 0
    for epoch in range(args.epochs + 1):
        if epoch > 0:
            for batch, targets in loader:
                loss = nn.functional.cross_entropy(model(batch), targets)
                optimizer.zero_grad()
                fabric.backward(loss)
                optimizer.step()
                lens.record_loss(loss)
                step += 1
        with group.synchronized_errors():
            observation = lens.observe(unlabelled, epoch, step)
        fabric.log_dict(monitored_scalars(observation, measurements) | other_scalars(observation, measurements), step)
        fabric.print(epoch_line(observation, measurements))
    fabric.print(lens)
    logger.finalize("success")
    fabric.print(f"Curves: {args.out}/metrics.csv")


if __name__ == "__main__":
    main()

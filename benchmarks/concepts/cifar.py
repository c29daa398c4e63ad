"""A small residual network on CIFAR-10, trained for a few epochs from a seed, and its test images."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

CACHE = Path(tempfile.gettempdir()) / "factorlens-benchmarks"
WIDTHS = (16, 32, 64)
EPOCHS = 16
BATCH = 64
#: Parameters and buffers by name.
Checkpoint = dict[str, Tensor]


@dataclass(frozen=True)
class Images:
    """Training and test images, from 0 to 1, and their labels."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with batch normalisation beside a shortcut; halves the size."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Conv2d(width, out, 1, stride=2)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(y + self.shortcut(x))


def make_network(seed: int) -> nn.Sequential:
    """The untrained network: a stem, residual blocks, and a linear layer after the mean over positions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
        blocks = [ResidualBlock(a, b) for a, b in zip((WIDTHS[0], *WIDTHS), WIDTHS)]
        return nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], 10))


def load_cifar(data_dir: Path) -> Images:
    """The images of ``cifar10.npz``."""
    with np.load(data_dir / "cifar10.npz") as file:
        arrays = {name: torch.from_numpy(file[name]) for name in ("train_x", "train_y", "test_x", "test_y")}
    train, test = (arrays[f"{part}_x"].permute(0, 3, 1, 2).float().contiguous() / 255 for part in ("train", "test"))
    return Images(train, arrays["train_y"].long(), test, arrays["test_y"].long())


def train_network(seed: int, images: Images, epochs: int = EPOCHS) -> nn.Sequential:
    """The network after some epochs, see `train_checkpoints`, in evaluation mode."""
    return load_checkpoint(train_checkpoints(seed, images, epochs)[-1])


def load_checkpoint(checkpoint: Checkpoint) -> nn.Sequential:
    """The network with these weights, in evaluation mode."""
    model = make_network(0)
    model.load_state_dict(checkpoint)
    return model.eval()


def train_checkpoints(seed: int, images: Images, epochs: int = EPOCHS) -> list[Checkpoint]:
    """The weights before and after every epoch of SGD with mirrored and shifted images; they are cached."""
    key = hashlib.blake2b(repr((WIDTHS, epochs, BATCH, seed, torch.__version__)).encode(), digest_size=8).hexdigest()
    path = CACHE / f"concepts-cifar-epochs-{key}.pt"
    if path.exists():
        checkpoints: list[Checkpoint] = torch.load(path, weights_only=True)
        return checkpoints
    print(f"training the CIFAR-10 network, seed {seed}, {epochs} epochs …", flush=True)
    model = make_network(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        checkpoints = [copy_weights(model), *_train(model, images, epochs)]
    CACHE.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoints, path)
    return checkpoints


def copy_weights(model: nn.Module) -> Checkpoint:
    """A copy of all parameters and buffers, in the ordinary order in memory."""
    return {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}


def _train(model: nn.Module, images: Images, epochs: int) -> Iterator[Checkpoint]:
    n = len(images.train)
    steps = epochs * (n // BATCH)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.15, total_steps=steps)
    model.train().to(memory_format=torch.channels_last)  # a third faster on a processor
    for _ in range(epochs):
        for batch in torch.randperm(n)[: n // BATCH * BATCH].split(BATCH):
            x = images.train[batch].contiguous(memory_format=torch.channels_last)
            x = torch.where(torch.rand(BATCH, 1, 1, 1) < 0.5, x.flip(3), x)
            dy, dx = torch.randint(-3, 4, (2,)).tolist()
            x = x.roll((dy, dx), (2, 3))
            loss = nn.functional.cross_entropy(model(x), images.train_labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        yield copy_weights(model)


@torch.no_grad()
def accuracy(model: nn.Module, images: Images) -> float:
    """Share of the test images that are classified correctly."""
    parts = [model(part).argmax(1) for part in images.test.split(250)]
    return float((torch.cat(parts) == images.test_labels).double().mean())

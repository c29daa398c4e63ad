"""A small convolutional network on MNIST, trained for a number of steps from a seed on all digits or on some."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.concepts.cifar import CACHE, Checkpoint, Images
from benchmarks.stopping.data import mnist

WIDTHS = (20, 32)
HIDDEN = 128
STEPS = 1000
BATCH = 64
DIGITS = tuple(range(10))


def make_network(seed: int) -> nn.Sequential:
    """The untrained network: two convolutions with pooling, a hidden layer and a linear layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for width, out in zip((1, *WIDTHS), WIDTHS):
            layers += [nn.Conv2d(width, out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        side = 28 // 2 ** len(WIDTHS)
        layers += [nn.Flatten(), nn.Linear(WIDTHS[-1] * side * side, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10)]
        return nn.Sequential(*layers)


def load_mnist(data_dir: Path) -> Images:
    """The images of ``MNIST/raw``, from 0 to 1."""
    x, y, x_test, y_test = (torch.from_numpy(array.copy()) for array in mnist(data_dir))
    return Images(x.float() / 255, y.long(), x_test.float() / 255, y_test.long())


def train_network(seed: int, images: Images, digits: Collection[int] = DIGITS, steps: int = STEPS) -> nn.Sequential:
    """The network after some steps of Adam on the images of some digits, in evaluation mode; its weights are cached.

    Args:
        seed: Of the initial weights and of the batches.
        images: From `load_mnist`.
        digits: The digits in the training set; the network has ten outputs in any case.
        steps: Number of optimizer steps with `BATCH` images each.
    """
    recipe = (WIDTHS, HIDDEN, steps, BATCH, seed, tuple(digits), torch.__version__)
    path = CACHE / f"concepts-mnist-{hashlib.blake2b(repr(recipe).encode(), digest_size=8).hexdigest()}.pt"
    model = make_network(seed)
    if not path.exists():
        print(f"training the MNIST network, seed {seed}, {len(digits)} digits, {steps} steps …", flush=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            _train(model, images, torch.tensor(list(digits)), steps)
        CACHE.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), path)
    weights: Checkpoint = torch.load(path, weights_only=True)
    model.load_state_dict(weights)
    return model.eval()


def _train(model: nn.Module, images: Images, digits: Tensor, steps: int) -> None:
    chosen = torch.isin(images.train_labels, digits).nonzero()[:, 0]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        batch = chosen[torch.randint(len(chosen), (BATCH,))]
        loss = nn.functional.cross_entropy(model(images.train[batch]), images.train_labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

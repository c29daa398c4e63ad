"""The small networks whose activations the benchmarks of the solver factorize, and their images.

A network is trained for a fixed number of steps from a fixed seed on one thread; its weights are cached in the
temporary folder.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.reporting import ROOT

#: Number of probe images.
SAMPLES = 512
#: Training steps between two snapshots.
STRIDE = 100
#: Default of `--data-dir`.
DATA = ROOT / "data"
CACHE = Path(tempfile.gettempdir()) / "factorlens-benchmarks"


@dataclass(frozen=True)
class Recipe:
    """A network and its training.

    Attributes:
        convolutions: Widths of the 3 × 3 convolutions, each followed by ReLU and 2 × 2 pooling.
        hidden: Width of the hidden layer.
        steps: Number of training steps until the last snapshot.
    """

    convolutions: tuple[int, ...]
    hidden: int
    steps: int


RECIPES = {"mnist": Recipe((20, 32), 128, 1000), "big": Recipe((80, 128, 128), 256, 300)}


class CNN(nn.Module):
    """Convolutions with ReLU and pooling, one hidden layer, ten classes; `forward` also returns the activations."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        widths = (1, *recipe.convolutions)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, widths[1:]))
        side = 28 // 2 ** len(recipe.convolutions)
        self.hidden = nn.Linear(widths[-1] * side * side, recipe.hidden)
        self.head = nn.Linear(recipe.hidden, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits and every ReLU's output."""
        activations = []
        for convolution in self.convolutions:
            activations.append(torch.relu(convolution(x)))
            x = nn.functional.max_pool2d(activations[-1], 2)
        activations.append(torch.relu(self.hidden(x.flatten(1))))
        return self.head(activations[-1]), activations


def trained(name: str, data_dir: Path, before: int = 0) -> tuple[str, CNN, Tensor]:
    """A trained network.

    Args:
        name: A key of `RECIPES`.
        data_dir: Folder with ``MNIST/raw``; without it scikit-learn's digits are used instead.
        before: Number of snapshots before the last one, each `STRIDE` training steps.

    Returns:
        Its training in words, the network, and the probe images.
    """
    recipe = RECIPES[name]
    step = recipe.steps - before * STRIDE
    source, images, labels, probe = load_images(data_dir)
    model = CNN(recipe)
    model.load_state_dict(_train(recipe, source, images, labels)[step])
    return f"a CNN ({recipe.convolutions}, {recipe.hidden}) after {step} steps on {source}", model, probe


@lru_cache(maxsize=2)
def load_images(data_dir: Path) -> tuple[str, Tensor, Tensor, Tensor]:
    """Name of the data set, training images and labels, probe images: MNIST, or else scikit-learn's digits."""
    if (data_dir / "MNIST" / "raw").exists():
        from torchvision.datasets import MNIST

        train, probe = (MNIST(str(data_dir), train=t, download=False) for t in (True, False))
        first = probe.data[:SAMPLES, None].float() / 255
        return "MNIST", train.data[:, None].float() / 255, train.targets, first
    from sklearn.datasets import load_digits

    print(f"no MNIST under {data_dir}: scikit-learn's digits, enlarged to 28 × 28, are used instead")
    digits = load_digits()
    small = torch.from_numpy(digits.images).float()[:, None] / 16
    images = nn.functional.interpolate(small, size=(28, 28), mode="bilinear").clamp_(min=0)
    labels = torch.from_numpy(digits.target)
    return "digits", images[SAMPLES:], labels[SAMPLES:], images[:SAMPLES]


@lru_cache(maxsize=2)
def _train(recipe: Recipe, source: str, images: Tensor, labels: Tensor) -> dict[int, dict[str, Tensor]]:
    """The weights at every `STRIDE` steps, trained once and then read from the cache."""
    key = hashlib.blake2b(repr((recipe, source, len(images), STRIDE, torch.__version__)).encode(), digest_size=8)
    path = CACHE / f"cnn-{key.hexdigest()}.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    print(f"training the CNN {recipe} on {source} …", flush=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CNN(recipe)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        kept = {}
        for step in range(1, recipe.steps + 1):
            batch = torch.randint(len(images), (64,))
            loss = nn.functional.cross_entropy(model(images[batch])[0], labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % STRIDE == 0:
                kept[step] = {k: v.detach().clone() for k, v in model.state_dict().items()}
    CACHE.mkdir(parents=True, exist_ok=True)
    torch.save(kept, path)
    return kept

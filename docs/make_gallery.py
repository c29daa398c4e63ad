"""Makes the pictures of docs/gallery.md by running its own blocks: ``python -m docs.make_gallery [--data-dir DIR]``.

Every block of the page leaves a list ``figures``, one for each picture that follows the block on the page. The network
is `benchmarks.networks.cifar_cnn`, trained on CIFAR-10 for a few epochs, under the layer names of the page: ``net.0``
is its first convolution and ``net.3`` its last.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, seed_everything
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.network_recipes import RECIPES, make_untrained
from benchmarks.networks import cifar_cnn, load_images
from benchmarks.solver.networks import DATA

PAGE = Path(__file__).resolve().parent / "gallery.md"
NETWORK = "cifar_cnn"
#: Images of the page's training loader, and of its probe.
TRAINING_IMAGES = 3000
PROBE = 400
#: Colours of a picture.
COLOURS = 256


class Network(LightningModule):
    """The network of the page; untrained, from a seed of its own, where it is made without an argument.

    Attributes:
        n_untrained: Number of untrained networks that the present block has made.
    """

    n_untrained = 0

    def __init__(self, layers: Iterable[nn.Module] | None = None) -> None:
        super().__init__()
        if layers is None:
            layers = make_untrained(RECIPES[NETWORK], Network.n_untrained).children()
            Network.n_untrained += 1
        flat = list(layers)
        self.net = nn.Sequential(flat[0], flat[1], nn.Sequential(*flat[2:12]), *flat[12:])

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, shape (N, 10)."""
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The cross-entropy of a batch."""
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Nothing: the lens takes its images from the loader's dataset."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), 1e-3)


def names_of_the_page(data_dir: Path) -> dict[str, Any]:
    """What the page's blocks expect to exist."""
    data = load_images(NETWORK, data_dir)
    train = TensorDataset(data.train[:TRAINING_IMAGES], data.train_labels[:TRAINING_IMAGES])
    images = data.test[:PROBE]
    return {
        "__name__": "block",
        "model": Network(cifar_cnn(0, data_dir=data_dir).children()).eval(),
        "images": images,
        "train_loader": DataLoader(train, 32, shuffle=True),
        "val_loader": DataLoader(TensorDataset(images, data.test_labels[:PROBE]), 200),
    }


def save(figure: Any, path: Path) -> None:
    """Writes a figure as a PNG with few colours."""
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor="white")
    picture = Image.open(file).convert("RGB").quantize(COLOURS)
    path.parent.mkdir(exist_ok=True)
    picture.save(path, "PNG", optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


def main() -> None:
    """Runs the blocks and writes their pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=DATA, help="folder with cifar10.npz")
    parser.add_argument("--only", default="", help="run blocks alone of which a picture has this in its name")
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = names_of_the_page(args.data_dir.resolve())
    parts = re.split(r"^```python\n(.*?)^```\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for code, text in zip(parts[1::2], parts[2::2]):
        pictures = re.findall(r"\]\((gallery/[\w-]+\.png)\)", text)
        if not any(args.only in picture for picture in pictures):
            continue
        found = dict(names)
        seed_everything(0, verbose=False)
        Network.n_untrained = 0
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            exec(code, found)
            os.chdir(PAGE.parent)
        if len(found["figures"]) != len(pictures):
            raise ValueError(f"{PAGE.name}: a block makes {len(found['figures'])} figures for {pictures}.")
        for figure, picture in zip(found["figures"], pictures):
            save(figure, PAGE.parent / picture)


if __name__ == "__main__":
    main()

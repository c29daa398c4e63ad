"""Runs one of Lightning's example scripts in this process, with the lens in its Trainer and its downloads replaced."""

from __future__ import annotations

import argparse
import functools
import random
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch.utilities.model_helpers as helpers
import numpy as np
import torch
import torchvision
import torchvision.datasets.utils as downloads
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.demos import mnist_datamodule, transformer
from PIL import Image
from torch.utils.data import Dataset

from lightning_factorlens import FactorLensCallback, ForwardArgs, LensOptions

#: A few batches of two epochs, on the CPU.
SHORT = {
    "max_epochs": 2, "limit_train_batches": 4, "limit_val_batches": 2, "limit_test_batches": 2,
    "limit_predict_batches": 1, "accelerator": "cpu", "devices": 1, "enable_progress_bar": False, "logger": True,
}  # fmt: skip


class Digits(Dataset[Any]):
    """As many random images as MNIST has; the brightness of the right half depends on the class."""

    def __init__(self, _: Any = None, train: bool = True, **__: Any) -> None:
        self.n = 60000 if train else 10000

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        image = torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(i))
        image[..., 14:] *= (i % 10) / 10
        return image, i % 10


def write_images(folder: Path, n: int, size: tuple[int, int], mode: str = "RGB") -> None:
    """Writes random images as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    for i in range(n):
        shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
        Image.fromarray(draw.integers(0, 34 if mode == "L" else 256, shape, dtype=np.uint8)).save(folder / f"{i}.png")


def write_words(path: Path) -> None:
    """Writes random words, as many as the splits of the transformer example need."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    lines = (" ".join(f"w{draw.randrange(50)}" for _ in range(70)) for _ in range(2200))
    path.write_text("\n".join(lines))


def write_pets(*_: Any, download_root: str = "data", **__: Any) -> None:
    """Writes random images in the folders of the cats-and-dogs data set."""
    for part, n in (("train", 16), ("validation", 20)):
        for kind in ("cats", "dogs"):
            write_images(Path(download_root) / "cats_and_dogs_filtered" / part / kind, n, (64, 64))


def fake(script: str, data: Path | None) -> None:
    """Replaces everything that the script would download, and repairs what keeps it from running without the lens."""
    real = functools.partial(torchvision.datasets.MNIST, data) if data else None
    mnist: Any = (lambda _, **options: real(**{**options, "download": False})) if real else Digits
    mnist_datamodule.MNIST = mnist
    mnist_datamodule.MNISTDataModule.__init__.__defaults__ = ("./data", 5000, 0, False, 42, 32)  # no workers
    transformer.WikiText2.download = staticmethod(write_words)  # type: ignore[method-assign,assignment]
    downloads.download_and_extract_archive = write_pets
    model = helpers.get_torchvision_model
    helpers.get_torchvision_model = lambda name, **_: model(name, weights=None)
    if "semantic_segmentation" in script:
        _repair_segmentation()


def _repair_segmentation() -> None:
    """Repairs a script that reads a `learning_rate` it never sets and gives ToTensor a tensor; makes images smaller."""
    write_images(Path("kitti/training/image_2"), 200, (64, 32))
    write_images(Path("kitti/training/semantic"), 200, (64, 32), "L")
    LightningModule.learning_rate = 1e-3  # type: ignore[attr-defined]
    resize = Image.Image.resize
    convert = torchvision.transforms.ToTensor.__call__
    tensor = torch.tensor
    Image.Image.resize = lambda image, *_, **__: resize(image, (64, 32))  # type: ignore[method-assign]
    torch.tensor = lambda x, **o: torch.from_numpy(np.array(x)) if isinstance(x, Image.Image) else tensor(x, **o)
    torchvision.transforms.ToTensor.__call__ = lambda to, x: convert(to, x.numpy() if torch.is_tensor(x) else x)


def add_lens_to_trainers(lens: dict[str, Any]) -> None:
    """Adds a lens to every Trainer that is created from now on, and limits it to a few batches."""
    build = Trainer.__init__

    @functools.wraps(build)
    def short(self: Trainer, *args: Any, **options: Any) -> None:
        given = options.pop("callbacks", None) or []
        callbacks = [*(given if isinstance(given, list) else [given]), FactorLensCallback(**lens)]
        build(self, *args, **{**options, **SHORT, "callbacks": callbacks})

    Trainer.__init__ = short  # type: ignore[method-assign]


def main() -> None:
    """Runs the script that the command line names; called by the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("script")
    parser.add_argument("--lens", default="", help="arguments of the lens, as Python source")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--arguments", default="", help="arguments of the script")
    args = parser.parse_args()
    torch.set_num_threads(1)
    fake(args.script, args.data_dir)
    add_lens_to_trainers(
        eval(f"dict({args.lens})", {"torch": torch, "ForwardArgs": ForwardArgs, "LensOptions": LensOptions})
    )
    sys.argv = [args.script, *shlex.split(args.arguments)]
    runpy.run_path(args.script, run_name="__main__")


if __name__ == "__main__":
    main()

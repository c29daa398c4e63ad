"""Which images: a fixed probe from a tensor, a dataset or a loader, labels dropped, nobody's random state touched."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_factorlens.probing.guest import preserved_random_states
from lightning_factorlens.probing.samples import draw, samples

#: Keys under which a batch that is a dict holds its images.
NAMES = ("image", "images", "img", "imgs", "pixel_values", "x", "input", "inputs")

ProbeSource = Tensor | Dataset[Any] | DataLoader[Any]


def probe_images(source: ProbeSource, size: int, seed: int = 0, transfer: Callable[[Any], Any] | None = None) -> Tensor:
    """Draws the probe.

    Args:
        source: A tensor of images as the model takes them, a dataset, or a loader.
        size: How many images; fewer when there are not so many.
        seed: Of the draw, and of random transforms in the dataset; the same seed gives the same images. A dataset that
            draws from a generator of its own advances it: let the probe have such a dataset for itself.
        transfer: What becomes of a collated batch on its way to the model (a Trainer's batch-transfer hooks).

    Returns:
        Shape (N, …).

    Raises:
        TypeError: A source or a batch that holds no images.
        ValueError: No images at all.
    """
    with preserved_random_states():
        _seed_preserved(seed)
        if isinstance(source, Tensor):
            images = source[draw(len(source), size, seed)]
        elif isinstance(source, DataLoader) or hasattr(source, "__getitem__") or hasattr(source, "__iter__"):
            found, collate = samples(source, size, seed)
            batch = collate(found) if found else torch.empty(0, 1)
            images = images_of(batch if transfer is None or not found else transfer(batch))
        else:
            raise TypeError(f"probe: found {type(source).__name__}; give a tensor of images, a dataset or a loader.")
    if len(images) == 0:
        raise ValueError("probe: found no images in it.")
    return images


def _seed_preserved(seed: int) -> None:
    """For random transforms of a dataset; `torch.manual_seed` would seed the accelerators too."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def images_of(batch: Any) -> Tensor:
    """The images of a batch, its labels dropped: the floating-point (or uint8) tensor with the most axes, at least two.

    Among equals one named like an image wins, then the first.

    Raises:
        TypeError: There is none.
    """
    found = [t for t in _tensors(batch) if t.ndim >= 2 and (t.is_floating_point() or t.dtype == torch.uint8)]
    if not found:
        raise TypeError(
            f"probe: found no tensor of images in a batch of type {type(batch).__name__}; "
            "pass `probe=` a tensor (N, C, H, W)."
        )
    return max(found, key=lambda t: t.ndim)


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, dict):
        for key in sorted(batch, key=lambda k: str(k) not in NAMES):  # stable: the others keep their order
            yield from _tensors(batch[key])
    elif isinstance(batch, (tuple, list)):
        for part in batch:
            yield from _tensors(part)

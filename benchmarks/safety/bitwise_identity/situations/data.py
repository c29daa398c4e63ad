"""Small images with labels. Imports torch alone, so that workers which import this module start quickly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, random_split

CLASSES = 3
BATCH_SIZE = 8
N_TRAIN = 24
N_VALIDATION = 16


def random_images(n: int, seed: int = 0, channels: int = 3, size: int = 8) -> tuple[Tensor, Tensor]:
    """Random images, shape (n, channels, size, size), and their labels, shape (n,)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, size, size, generator=generator), torch.arange(n) % CLASSES


class Images(Dataset[Any]):
    """Fixed random images with labels; the base of other datasets."""

    def __init__(self, n: int = N_TRAIN, seed: int = 0, channels: int = 3, size: int = 8) -> None:
        self.x, self.y = random_images(n, seed, channels, size)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Any:
        return self.x[i], self.y[i]


def split(dataset: Dataset[Any], **options: Any) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """A loader for training and one for validation, over two parts of one dataset; ``options`` are those of both."""
    lengths = [N_TRAIN, N_VALIDATION]
    parts = random_split(dataset, lengths, torch.Generator().manual_seed(1))
    options = {"batch_size": BATCH_SIZE, **options}
    return DataLoader(parts[0], shuffle=True, **options), DataLoader(parts[1], **options)

"""Random images and clips with labels, masks or boxes, in the format that torchvision's references use."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

N_CLASSES = 3
N_KEYPOINTS = 17


class LabelledImages(Dataset[Any]):
    """Images or clips, each with a label; class k is brighter by k.

    Args:
        n: Number of samples.
        shape: Shape of one sample, such as (3, 32, 32), or (3, 4, 32, 32) for clips.
        seed: Seed of the samples.
    """

    def __init__(self, n: int, shape: tuple[int, ...], seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(n) % N_CLASSES
        brightness = self.labels.view(-1, *[1] * len(shape)) / N_CLASSES
        self.images = torch.rand(n, *shape, generator=generator) + brightness

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]


class SegmentedImages(LabelledImages):
    """Images, each with a mask of the same size that holds a class for every pixel."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = self.images[index]
        mask = (image.mean(0) * N_CLASSES / 2).long().clamp(0, N_CLASSES - 1)
        return image, mask


class ImagesWithObjects(Dataset[Any]):
    """Images of different sizes with a dictionary of boxes, labels, masks and keypoints, as torchvision's models take.

    Args:
        n: Number of images.
        seed: Seed of the images.
    """

    def __init__(self, n: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.images = []
        for index in range(n):
            width = 64 + 16 * (index % 3)
            self.images.append(torch.rand(3, 64, width, generator=generator))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        image = self.images[index]
        left = 4 + index % 8
        mask = torch.zeros(1, *image.shape[1:], dtype=torch.uint8)
        mask[:, 8:48, left : left + 40] = 1
        keypoints = torch.full((1, N_KEYPOINTS, 3), 16.0)
        keypoints[:, :, 2] = 1  # visible
        target = {
            "boxes": torch.tensor([[left, 8.0, left + 40.0, 48.0]]),
            "labels": torch.tensor([1]),
            "masks": mask,
            "keypoints": keypoints,
        }
        return image, target


def collate_objects(samples: list[Any]) -> tuple[Any, ...]:
    """Tuples in place of stacked tensors, because images differ in size: torchvision's references collate so."""
    return tuple(zip(*samples))

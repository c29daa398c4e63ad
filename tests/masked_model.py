"""A model that takes an image and a mask, and batches that hold more than that."""

import torch
from torch import nn
from torch.utils.data import Dataset


class Masked(nn.Module):
    """Takes an image and a mask, and refuses anything else."""

    def __init__(self):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Linear(4 * 36, 3)

    def forward(self, image, mask):
        assert mask.shape == (len(image), 1, 1, 1)
        return self.head(self.act(self.conv(image * mask)).flatten(1))


def images(n=24):
    g = torch.Generator().manual_seed(0)
    mask = torch.rand(n, 1, 1, 1, generator=g)
    return {"mask": mask, "label": torch.arange(n), "image": torch.rand(n, 1, 8, 8, generator=g), "name": list("x" * n)}


class DictDataset(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, i):
        return {key: value[i] for key, value in images().items()}


def call_masked(model, batch):
    return model.net(batch["image"], batch["mask"])

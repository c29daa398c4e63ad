"""A network in which activations are computed in every way that torch offers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn


class Mixed(nn.Module):
    """Functional, method and in-place ReLUs, one nn.ReLU called twice, a dropout that repeats its input."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
        self.act, self.inplace, self.drop = nn.ReLU(), nn.ReLU(inplace=True), nn.Dropout()
        self.block = Block()
        self.head = nn.Linear(5, 6)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = self.act(self.conv2(x))
        x = self.drop(self.act(x - 0.1))
        x = self.block(x)
        x = self.inplace(x - 0.2)
        return self.head(torch.relu(x.mean((2, 3)) - 0.01))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(5, 5, 1)

    def forward(self, x):
        return x + self.conv(x).relu()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Mixed()


@pytest.fixture
def layer_names():
    """The layers of `model` that are selected automatically."""
    return ["F.relu", "act", "act-2", "block.F.relu", "inplace", "F.relu-2"]

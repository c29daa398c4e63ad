"""A small network and its probe for the tests of measurements."""

import torch
from torch import nn

from lightning_factorlens import FactorLens, LensOptions


class SmallNet(nn.Module):
    """A convolutional network."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.hidden, self.act = nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Linear(216, 64), nn.ReLU()
        self.head = nn.Linear(64, 3)

    def forward(self, x):
        return self.head(self.act(self.hidden(self.relu(self.conv(x)).flatten(1))))


def make_net(seed=0):
    torch.manual_seed(seed)
    return SmallNet().eval()


def make_probe(n=16):
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def lens_with(*measurements, net=None, outputs="classes", **options):
    """A lens of these measurements alone."""
    lens_options = LensOptions(**{"ranks": (1, 2, 4), **options})
    return FactorLens(net or make_net(), lens_options, list(measurements), outputs=outputs)


@torch.no_grad()
def train_a_little(net, seed):
    """Changes all weights, as a training step would."""
    g = torch.Generator().manual_seed(seed)
    for p in net.parameters():
        p += 0.3 * p.std() * torch.randn(p.shape, generator=g)

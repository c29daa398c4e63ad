"""Small models for the tests of whole models."""

import torch
from torch import nn


def cnn_with_batch_norm():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),  # one input channel, and fewer channels than taps
        nn.ReLU(),
        nn.Conv2d(6, 32, 3),
        nn.BatchNorm2d(32),
        nn.Conv2d(32, 32, 3, groups=32),  # 9 eigenvalues in slices
        nn.Conv2d(32, 64, 1),
        nn.Conv2d(64, 64, 3, groups=4),
        nn.Flatten(),
        nn.Linear(64, 40),
        nn.Linear(40, 10),
    )


def cnn_with_transposed_convolution():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.Conv2d(6, 32, 3),
        nn.Conv2d(32, 32, 3, groups=32),
        nn.Conv2d(32, 64, 1),
        nn.ConvTranspose2d(64, 24, 3),
        nn.Linear(64, 40),
    )


def by_name(spectra):
    return {s.layer: s for s in spectra}

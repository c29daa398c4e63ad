"""Attributes of modules exist."""

import torch
from torch import nn

from lightning_factorlens._private_api import modules


def test_attributes_of_modules_exist():
    norm = nn.BatchNorm1d(3)
    buffers = modules.registered_buffers(norm)
    assert buffers["running_mean"] is norm.running_mean
    buffers["running_mean"] = torch.ones(3)
    assert torch.equal(norm.running_mean, torch.ones(3))
    convolutions = [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.LazyConv2d, nn.LazyConvTranspose1d]
    assert all(issubclass(kind, modules.ConvolutionBase) for kind in convolutions)
    assert not issubclass(nn.Linear, modules.ConvolutionBase)

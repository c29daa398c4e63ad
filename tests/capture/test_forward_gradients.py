"""Autograd in forward passes."""

import pytest
import torch
from torch import nn

from benchmarks.scale.allocations import peak_bytes
from lightning_factorlens.capture.forward_gradients import graph_without_tensors


def test_a_recorded_graph_keeps_no_tensors_and_refuses_a_backward_pass():
    model = nn.Sequential(*[nn.Sequential(nn.Linear(256, 256), nn.Tanh()) for _ in range(16)])
    x = torch.rand(64, 256)

    def forward(context):
        with context:
            return model(x)

    plain, _ = peak_bytes(lambda: forward(torch.no_grad()))
    recorded, _ = peak_bytes(lambda: forward(graph_without_tensors()))
    whole, _ = peak_bytes(lambda: forward(torch.enable_grad()))
    assert recorded == plain < whole / 4
    with pytest.raises(RuntimeError, match="without the tensors"):
        forward(graph_without_tensors()).sum().backward()

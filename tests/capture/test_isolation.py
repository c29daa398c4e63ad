"""A model is left as it was found: flags, buffers, random states."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from lightning_factorlens.capture.isolation import isolate_model


class Stateful(nn.Module):
    """Counts its calls in a buffer and draws random numbers, even in eval mode."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("rebound", torch.zeros(()))
        self.norm, self.frozen = nn.BatchNorm1d(3), nn.BatchNorm1d(3).eval()

    def forward(self, x):
        self.calls += 1
        self.rebound = self.rebound + 1
        self.rebound.data.add_(1)
        self.norm.running_var.data.mul_(2)
        random.random()
        np.random.rand()
        return self.frozen(self.norm(x + torch.randn_like(x)))


def states():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


@pytest.mark.parametrize("fails", [False, True])
def test_flags_buffers_and_random_states_are_restored(fails):
    model = Stateful().train()
    model.frozen.eval()
    before, buffers = states(), {k: v.clone() for k, v in model.state_dict().items()}
    try:
        with isolate_model(model):
            assert not any(m.training for m in model.modules())
            assert not torch.is_grad_enabled()
            model(torch.randn(4, 3))
            model.norm.running_mean.add_(1)
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert [model.training, model.norm.training, model.frozen.training] == [True, True, False]
    assert torch.is_grad_enabled()
    assert states() == before
    assert all(torch.equal(v, buffers[k]) for k, v in model.state_dict().items())


class Growing(nn.Module):
    """Fills a buffer that was empty, and changes the size of others."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", None)
        self.register_buffer("resized", torch.arange(2.0))
        self.register_buffer("exchanged", torch.arange(3.0))
        self.register_buffer("last", torch.zeros(()))

    def forward(self, x):
        if self.mean is None:
            self.mean = x.mean(0)
        self.resized.resize_(5).fill_(1)
        self.exchanged.data = torch.ones(7)
        self.last += 1
        return x - self.mean


@pytest.mark.parametrize("gradients", [False, True])
def test_empty_and_resized_buffers_are_restored(gradients):
    model = Growing()
    objects = [model.resized, model.exchanged, model.last]
    with isolate_model(model, gradients=gradients):
        model(torch.rand(4, 3))
    assert model.mean is None
    assert [id(model.resized), id(model.exchanged), id(model.last)] == [id(buffer) for buffer in objects]
    assert model.resized.tolist() == [0, 1]
    assert model.exchanged.tolist() == [0, 1, 2]
    assert model.last == 0

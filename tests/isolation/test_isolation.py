"""A model is left as it was found: flags, buffers, random states."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from lightning_factorlens.isolation.isolation import isolate_model


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


class Merging(nn.Linear):
    """Folds an adapter into its weight in evaluation mode, as loralib does."""

    def __init__(self, size):
        super().__init__(size, size)
        self.down, self.up, self.merged = nn.Parameter(torch.rand(1, size)), nn.Parameter(torch.rand(size, 1)), False

    def train(self, mode=True):
        super().train(mode)
        if mode == self.merged:
            self.weight.data += (-1 if mode else 1) * (self.up @ self.down).data
            self.merged = not mode
        return self

    def forward(self, x):
        y = super().forward(x)
        return y if self.merged else y + x @ (self.up @ self.down).T


class Reparametrised(nn.Module):
    """Replaces its branches by one convolution in evaluation mode, as RepVGG does when it is deployed."""

    def __init__(self):
        super().__init__()
        self.branch = nn.Conv2d(1, 2, 3)
        self.stem = nn.BatchNorm2d(2)

    def eval(self):
        super().eval()
        if hasattr(self, "branch"):
            self.fused = nn.Conv2d(1, 2, 3)
            del self.branch
        return self

    def forward(self, x):
        return self.fused(x)


class KeepsNormsFrozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def train(self, mode=True):
        super().train(mode)
        self.norm.training = False
        return self


def test_a_module_whose_evaluation_mode_merges_weights_is_entered_and_left_as_found():
    torch.manual_seed(0)
    model = nn.Sequential(Merging(4), nn.ReLU()).train()
    weight = model[0].weight.detach().clone()
    x = torch.rand(3, 4)
    with isolate_model(model):
        assert model[0].merged
        assert not torch.equal(model[0].weight, weight)
        merged = model(x)
    assert torch.equal(model[0].weight, weight)  # subtracting the adapter again would round
    assert not model[0].merged
    assert model[0].training
    torch.testing.assert_close(model(x), merged)


def test_a_module_whose_evaluation_mode_replaces_its_parts_has_them_again():
    model = Reparametrised().train()
    names, branch = list(model.state_dict()), model.branch
    with isolate_model(model):
        assert model(torch.rand(2, 1, 5, 5)).shape == (2, 2, 3, 3)
    assert list(model.state_dict()) == names
    assert model.branch is branch
    assert model.training


def test_flags_that_an_overridden_train_would_change_are_restored():
    model = KeepsNormsFrozen()
    model.norm.training = True
    with isolate_model(model):
        assert not model.norm.training
    assert model.training
    assert model.norm.training


def test_an_error_of_an_overridden_eval_is_raised_and_the_model_restored():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.n = nn.Linear(2, 2), 0

        def eval(self):
            super().eval()
            self.n += 1
            raise OSError("no evaluation mode")

    model = nn.Sequential(Broken()).train()
    model.eval = model[0].eval  # an override of the object alone counts as well
    with pytest.raises(OSError, match="no evaluation mode"), isolate_model(model):
        pass
    assert all(module.training for module in model.modules())
    assert model[0].n == 0


@pytest.mark.parametrize("gradients", [False, True])
def test_gradients_and_their_flags_are_restored(gradients):
    model = nn.Linear(3, 2)
    model(torch.rand(2, 3)).sum().backward()
    gradient, values = model.weight.grad, model.weight.grad.clone()
    with isolate_model(model, gradients=gradients):
        with torch.enable_grad():
            model(torch.rand(5, 3)).sum().backward()
        model.bias.requires_grad_(False)
    assert model.weight.grad is gradient
    assert torch.equal(gradient, values)
    assert model.bias.requires_grad


def test_nested_isolations_copy_the_parameters_once():
    model = nn.Linear(300, 300)
    weight = model.weight.detach().clone()
    with isolate_model(model):
        model.weight.data.mul_(2)
        with isolate_model(model):
            model.weight.data.mul_(2)
        assert torch.equal(model.weight, 4 * weight)
    assert torch.equal(model.weight, weight)
    with isolate_model(model):
        model.weight.data.mul_(2)
    assert torch.equal(model.weight, weight)

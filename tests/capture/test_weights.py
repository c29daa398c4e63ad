"""Weights are listed once, under the names of the uncompiled model, and reading them changes nothing."""

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from lightning_factorlens.capture.sharded_parameters import sharded_parameters
from lightning_factorlens.capture.weights import weight_layers


def test_geometry_and_names_of_all_kinds_of_layers():
    model = nn.Sequential(
        nn.Conv2d(4, 6, (3, 5), stride=2, dilation=(1, 2), groups=2),
        nn.ConvTranspose1d(4, 6, 3),
        nn.MultiheadAttention(4, 2),
        nn.MultiheadAttention(4, 2, kdim=3, vdim=5),
        nn.LazyLinear(3),
    )
    layers = {layer.name: layer for layer in weight_layers(model)}
    names = ["0", "1", "2.q", "2.k", "2.v", "2.out_proj", "3.q", "3.k", "3.v", "3.out_proj", "4"]
    assert list(layers) == names
    convolution = layers["0"]
    assert (convolution.groups, convolution.transposed) == (2, False)
    assert (convolution.stride, convolution.dilation) == ((2, 2), (1, 2))
    assert layers["1"].transposed
    assert (layers["2.q"].stride, layers["2.q"].groups) == ((), 1)
    assert torch.equal(layers["2.k"].weight, model[2].in_proj_weight[4:8])
    assert layers["3.v"].weight.shape == (4, 5)
    assert not any(layer.weight.requires_grad for layer in layers.values() if layer.name != "4")


def test_a_shared_weight_is_listed_once_and_a_compiled_model_has_the_same_names():
    shared = nn.Linear(3, 3)
    tied = nn.Linear(3, 3)
    tied.weight = shared.weight
    model = nn.Sequential(shared, tied, torch.compile(nn.Linear(3, 2), backend="eager"))
    assert [layer.name for layer in weight_layers(model)] == ["0", "2"]
    assert [layer.name for layer in weight_layers(torch.compile(model, backend="eager"))] == ["0", "2"]
    assert [layer.name for layer in weight_layers(shared)] == ["Linear"]


def test_reading_a_spectral_norm_in_training_mode_changes_nothing():
    torch.manual_seed(0)
    model = spectral_norm(nn.Linear(4, 4)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = model.eval().weight.clone()
    (layer,) = weight_layers(model.train())
    assert torch.equal(layer.weight, expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())


def test_sharded_parameters_are_recognised():
    model = nn.Linear(3, 2)
    assert sharded_parameters(model) == []
    model.bias.ds_id = 0  # as DeepSpeed marks a partitioned parameter
    assert sharded_parameters(model) == ["bias"]

    class FullyShardedDataParallel(nn.Sequential):
        pass

    assert sharded_parameters(FullyShardedDataParallel(nn.Linear(3, 2))) == ["0.weight", "0.bias"]


class _CountingParametrization(nn.Module):
    def __init__(self):
        super().__init__()
        self.n_calls = 0

    def forward(self, weight):
        self.n_calls += 1
        return weight * torch.rand(())


class _Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.other = nn.Linear(4, 4), nn.Linear(4, 1)


def test_reading_a_parametrised_weight_leaves_the_parametrisation_and_the_random_state_as_found():
    model = nn.Sequential(_Block())
    parametrization = _CountingParametrization()
    parametrize.register_parametrization(model[0].layer, "weight", parametrization)
    model[0].layer.parametrizations.weight.original.requires_grad_(False)
    n_calls, state = parametrization.n_calls, torch.get_rng_state()
    assert [layer.name for layer in weight_layers(model)] == ["0.layer", "0.other"]
    assert parametrization.n_calls == n_calls
    assert torch.equal(torch.get_rng_state(), state)
    assert parametrization.training

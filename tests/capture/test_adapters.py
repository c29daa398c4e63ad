"""A layer with an adapter has one weight: that with which it computes."""

import pytest
import torch
from adapters import Bottleneck, LoralibLinear, PeftLike
from torch import nn
from torch.nn.utils import parametrize

from lightning_factorlens.capture.adapters import adapted_layer
from lightning_factorlens.capture.weights import weight_layers


@pytest.mark.parametrize("n_inputs", [5, 1030])  # more than the unit vectors of one pass
def test_a_wrapper_with_a_base_layer_has_its_merged_weight_under_its_own_name(n_inputs):
    torch.manual_seed(0)
    model = nn.Sequential(PeftLike(nn.Linear(n_inputs, 4)), nn.ReLU(), nn.Linear(4, 3)).train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    adapter, head = weight_layers(model)
    assert (adapter.name, adapter.op, head.name) == ("0", "PeftLike", "2")
    merged = model[0].base_layer.weight + model[0].delta()
    torch.testing.assert_close(adapter.weight, merged.detach())
    assert "0.lora_A.default.weight" in adapter.parameters
    assert model[0].base_layer.bias is not None
    assert model[0].dropout.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_an_adapter_that_is_switched_off_leaves_the_weight():
    model = nn.Sequential(PeftLike(nn.Linear(5, 4)))
    model[0].enabled = False
    assert torch.equal(weight_layers(model)[0].weight, model[0].base_layer.weight)


def test_an_adapter_around_an_adapter_counts_as_one():
    inner = PeftLike(nn.Linear(5, 4))
    outer = PeftLike(nn.Linear(5, 4))
    outer.base_layer = inner
    (layer,) = weight_layers(nn.Sequential(outer))
    merged = inner.base_layer.weight + inner.delta() + outer.delta()
    torch.testing.assert_close(layer.weight, merged.detach())


def test_a_subclass_of_linear_with_a_frozen_weight_and_a_trained_difference():
    model = nn.Sequential(LoralibLinear(5, 4))
    (layer,) = weight_layers(model)
    torch.testing.assert_close(layer.weight, (model[0].weight + model[0].delta()).detach())
    model[0].weight.requires_grad_(True)  # a layer that is trained itself is read as it is
    assert torch.equal(weight_layers(model)[0].weight, model[0].weight)


def test_a_parametrisation_that_adds_a_difference_is_read_through_it():
    class Lora(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Parameter(torch.rand(1, 5)), nn.Parameter(torch.rand(4, 1))

        def forward(self, weight):
            return weight + self.b @ self.a

    model = nn.Sequential(nn.Linear(5, 4).requires_grad_(False))
    parametrize.register_parametrization(model[0], "weight", Lora())
    (layer,) = weight_layers(model)
    assert torch.equal(layer.weight, model[0].weight)
    assert "0.parametrizations.weight.0.a" in layer.parameters


def test_an_adapter_that_is_not_linear_is_no_weight_but_its_own_layers_are():
    model = nn.Sequential(Bottleneck(nn.Linear(16, 16)))
    assert adapted_layer(model[0]) is None
    assert [layer.name for layer in weight_layers(model)] == ["0.base", "0.down", "0.up"]


def test_an_ordinary_block_around_a_frozen_layer_is_no_adapter():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen, self.head = nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(self.frozen(x).relu())

    assert [layer.name for layer in weight_layers(nn.Sequential(Block()))] == ["0.frozen", "0.head"]


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"use_rslora": True}, {"lora_dropout": 0.5}], ids=str)
def test_lora_of_peft(options):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3), nn.Unflatten(1, (3, 1, 1)), nn.Conv2d(3, 4, 1))
    model = peft.get_peft_model(net, peft.LoraConfig(r=2, target_modules=["0", "4"], **options))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.add_(0.1)
    layers = {layer.name.removeprefix("base_model.model."): layer for layer in weight_layers(model)}
    assert list(layers) == ["0", "2", "4"]
    merged = model.merge_and_unload()
    torch.testing.assert_close(layers["0"].weight, merged[0].weight.detach())
    if "use_dora" not in options:
        torch.testing.assert_close(layers["4"].weight, merged[4].weight.detach())


def test_ia3_and_switched_off_adapters_of_peft():
    peft = pytest.importorskip("peft")
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    model = peft.get_peft_model(net, peft.IA3Config(target_modules=["0"], feedforward_modules=[]))
    model.base_model.model[0].ia3_l["default"].data.mul_(3)
    weight = weight_layers(model)[0].weight
    torch.testing.assert_close(weight, 3 * model.base_model.model[0].base_layer.weight)
    with model.disable_adapter():
        torch.testing.assert_close(weight_layers(model)[0].weight, weight / 3)
    torch.testing.assert_close(weight_layers(model)[0].weight, weight)

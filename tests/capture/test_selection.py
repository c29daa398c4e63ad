"""Selection of layers: by default each tensor once, by pattern, and as before an interruption."""

import pytest
import torch
from torch import nn
from torchvision import models

from lightning_factorlens.capture.layer_tracing import trace_layers
from lightning_factorlens.capture.selection import select_layers
from lightning_factorlens.isolation.isolation import isolate_model


def selected_names(rows):
    return [row.name for row in rows if row.selected]


def test_the_automatic_selection_finds_every_relu_once(model, layer_names):
    x = torch.rand(4, 3, 8, 8)
    with isolate_model(model):
        rows = select_layers(trace_layers(model, model, x))
    assert selected_names(rows) == layer_names
    assert next(r for r in rows if r.name == "drop").reason == "passes its input through"
    assert next(r for r in rows if r.name == "conv1").reason == "signed"


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("act*", ["act", "act-2"]),
        ("re:relu$", ["F.relu", "block.F.relu"]),
        (nn.ReLU, ["act", "act-2", "inplace"]),
        (["type:Conv2d", "block"], ["conv1", "conv2", "block.conv", "block"]),
    ],
)
def test_layers_are_selected_by_glob_regular_expression_and_type(model, layers, names):
    with isolate_model(model):
        assert selected_names(select_layers(trace_layers(model, model, torch.rand(4, 3, 8, 8)), layers)) == names


def test_a_pattern_that_matches_nothing_is_an_error_that_lists_the_names(model):
    with isolate_model(model):
        traced = trace_layers(model, model, torch.rand(4, 3, 8, 8))
    with pytest.raises(ValueError, match=r"layers: 'features\.\*' matches nothing; there are: .*conv1.*block\.F\.relu"):
        select_layers(traced, "features.*")
    with pytest.raises(ValueError, match="not a regular expression"):
        select_layers(traced, "re:(")
    with pytest.raises(ValueError, match="non-empty list"):
        select_layers(traced, [])
    linear = nn.Linear(3, 3)
    signed = trace_layers(linear, linear, torch.rand(4, 3) - 0.5)
    assert selected_names(select_layers(signed)) == []


def test_signed_activations_are_selected_where_there_are_no_others():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 3))
    with isolate_model(net):
        assert selected_names(select_layers(trace_layers(net, net, torch.randn(4, 8)))) == ["1", "3"]


def test_layers_selected_before_an_interruption_are_selected_again():
    model = models.resnet18()
    with isolate_model(model):
        traced = trace_layers(model, model, torch.rand(2, 3, 32, 32))
    assert selected_names(select_layers(traced, previous=["relu", "layer3.0.relu"])) == ["relu", "layer3.0.relu"]
    assert selected_names(select_layers(traced, previous=["relu", "gone"])) == selected_names(select_layers(traced))

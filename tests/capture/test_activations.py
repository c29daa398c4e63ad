"""Captured values are those of the forward pass; budgets and outputs."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_factorlens.capture.activations import capture_activations
from lightning_factorlens.capture.layer_tracing import trace_layers
from lightning_factorlens.capture.selection import select_layers
from lightning_factorlens.isolation.isolation import isolate_model


def test_captured_values_are_those_of_the_forward_pass(model, layer_names):
    x = torch.rand(300, 3, 8, 8)  # more than one batch
    with isolate_model(model):
        rows = select_layers(trace_layers(model, model, x[:4]))
        capture = capture_activations(model, model, x, rows)
        a = F.relu(model.conv1(x))
        b = F.relu(model.conv2(a))
        c = F.relu(b - 0.1)
        d = model.block.conv(c).relu()
        e = F.relu(c + d - 0.2)
        f = torch.relu(e.mean((2, 3)) - 0.01)
        logits = model(x)
    assert [block.name for block in capture.layers] == layer_names
    for block, truth in zip(capture.layers, (a, b, c, d, e, f)):
        assert torch.allclose(block.samples, truth.flatten(1), atol=1e-6), block.name
        assert block.shape == tuple(truth.shape[1:])
    assert torch.allclose(capture.outputs, logits, atol=1e-6)


def test_a_neuron_budget_keeps_the_same_neurons_and_records_the_sampling_factor(model):
    x = torch.rand(10, 3, 8, 8)
    with isolate_model(model):
        rows = select_layers(trace_layers(model, model, x[:4]))
        a, b = (capture_activations(model, model, x, rows, max_neurons_per_layer=20).layers for _ in range(2))
        whole = capture_activations(model, model, x, rows).layers
    for one, two, full in zip(a, b, whole):
        assert torch.equal(one.samples, two.samples)
        assert one.samples.shape[1] == min(20, full.samples.shape[1])
        assert one.sampling_factor == full.samples.shape[1] / one.samples.shape[1]
        columns = {tuple(c) for c in full.samples.T.tolist()}
        assert all(tuple(c) in columns for c in one.samples.T.tolist())


class Outputs(nn.Module):
    """Returns its output in a container."""

    def __init__(self, wrap):
        super().__init__()
        self.linear, self.wrap = nn.Linear(4, 3), wrap

    def forward(self, x):
        return self.wrap(torch.relu(self.linear(x)))


@pytest.mark.parametrize(
    ("wrap", "found"),
    [
        (lambda y: y, True),
        (lambda y: (y.sum(), y, 2 * y), True),
        (lambda y: {"aux": 2 * y, "logits": y}, True),
        (lambda y: [y[:, :1], y.sum(0)], False),
        (lambda y: "text", False),
    ],
)
def test_the_models_outputs_are_found_in_containers(wrap, found):
    torch.manual_seed(0)
    model, x = Outputs(wrap), torch.rand(130, 4)
    with isolate_model(model):
        outputs = capture_activations(model, model, x, ()).outputs
        assert (outputs is not None) == found
        if found:
            assert torch.allclose(outputs, torch.relu(model.linear(x)))


class DataDependent(nn.Module):
    """Runs its layer, or changes its width, depending on the data."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x):
        if x.min() >= 0:
            return self.act(x)
        return self.act(x[:, :2]) if x.min() > -2 else x


def test_a_layer_that_depends_on_the_data_is_an_error_that_names_it():
    model, x = DataDependent(), torch.rand(130, 4)
    with isolate_model(model):
        table = select_layers(trace_layers(model, model, x[:4]), "act")
        x[129] = -1
        with pytest.raises(RuntimeError, match=r"layer 'act': found an output of shape \(2,\) .* expected \(4,\)"):
            capture_activations(model, model, x, table)
        x[129] = -3
        with pytest.raises(RuntimeError, match="layer 'act': found outputs for 128 of 130 samples"):
            capture_activations(model, model, x, table)

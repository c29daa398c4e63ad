"""Tracing sees functional and reused activations under stable names, and leaves no hook behind."""

import pytest
import torch
from torch import nn

from lightning_factorlens.capture.layer_tracing import trace_layers
from lightning_factorlens.capture.selection import select_layers
from lightning_factorlens.capture.tracing import trace_calls
from lightning_factorlens.isolation.isolation import isolate_model


def selected_names(rows):
    return [row.name for row in rows if row.selected]


def count_hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_names_are_the_same_in_every_forward_pass(model):
    x = torch.rand(4, 3, 8, 8)
    with isolate_model(model):
        first, second = (selected_names(select_layers(trace_layers(model, model, x))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("where", ["conv2", "head"])
def test_no_hook_outlives_an_exception(model, where):
    def explode(*_):
        raise RuntimeError("boom")

    handle = model.get_submodule(where).register_forward_hook(explode)
    before = count_hooks(model)
    model.train()
    with pytest.raises(RuntimeError, match="boom"), isolate_model(model):
        trace_layers(model, model, torch.rand(4, 3, 8, 8))
    assert count_hooks(model) == before
    assert all(m.training for m in model.modules())
    handle.remove()


def test_compiled_modules_are_traced_without_a_recompile(model, layer_names):
    compiled = torch.compile(model, backend="eager")
    x = torch.rand(4, 3, 8, 8)
    compiled(x)
    with isolate_model(compiled):
        assert selected_names(select_layers(trace_layers(compiled, compiled, x))) == layer_names


def test_a_transformer_layers_own_functional_activation_is_traced():
    torch.manual_seed(0)
    net = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with isolate_model(net):
        assert selected_names(select_layers(trace_layers(net, net, torch.randn(4, 5, 8)))) == ["F.relu"]


@pytest.mark.parametrize("replace_outputs", [False, True])
def test_outputs_are_replaced_only_on_request(replace_outputs):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True))
    x = torch.rand(2, 3)
    with torch.no_grad():
        plain = model(x)
        with trace_calls(
            model, lambda call: call.output + 1 if call.name == "1" else None, replace_outputs=replace_outputs
        ):
            traced = model(x)
    assert torch.equal(traced, plain + replace_outputs)

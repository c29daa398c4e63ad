import torch
from torch import nn
from torch.nn import functional as F

from lightning_factorlens.capture.linear_calls import LinearCallTracer
from lightning_factorlens.capture.linear_layers import find_linear_layers


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.filters = nn.Parameter(torch.randn(4, 1, 4))
        self.module = nn.Conv1d(4, 2, 3, padding=1, padding_mode="circular")

    def forward(self, x):
        return self.module(F.conv1d(x, self.filters, padding="same", groups=2, dilation=2))


def calls_of(model, x):
    found = []
    tracer = LinearCallTracer(model, find_linear_layers(model), found.append)
    with torch.no_grad(), tracer.trace():
        output = model(x)
    return tracer, found, output


def test_a_call_is_described_as_the_function_receives_it():
    model = Functional()
    x = torch.randn(3, 2, 8)
    _, (functional, module), output = calls_of(model, x)
    assert functional.layer.name == "filters"
    assert functional.layer.weight.groups == 2
    assert functional.layer.padding == ((3, 3),)
    assert functional.layer.bias is None
    assert torch.equal(functional.inputs, x)
    assert module.layer.name == "module"
    assert module.layer.padding == ((0, 0),)  # the module has padded its input already
    assert module.inputs.shape[2] == x.shape[2] + 2
    assert torch.equal(module.outputs, output)
    assert torch.equal(module.layer.bias, model.module.bias)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_the_output_of_the_model_is_the_same_inside_and_no_hook_is_left_after_an_error():
    model = Functional()
    x = torch.randn(3, 2, 8)
    assert torch.equal(calls_of(model, x)[2], model(x))
    tracer = LinearCallTracer(model, find_linear_layers(model), lambda call: 1 / 0)
    try:
        with tracer.trace():
            model(x)
    except ZeroDivisionError:
        pass
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(calls_of(model, x)[2], model(x))

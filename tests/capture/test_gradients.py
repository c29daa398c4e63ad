"""Capture with gradients: those of a hand-written forward pass, and a model that is left as it was found."""

import random
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models

from lightning_factorlens.capture import Batch, ForwardArgs, capture_activations, capture_batches, isolate_model
from lightning_factorlens.capture.layer_tracing import trace_layers
from lightning_factorlens.capture.selection import select_layers


class SmallCNN(nn.Module):
    """Batch norm and activations of all kinds: in-place module, in-place function, in-place method, out of place."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm, self.conv2 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3, padding=1)
        self.relu, self.drop, self.head = nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(5, 6)

    def forward(self, x):
        x = self.relu(self.norm(self.conv1(x)))
        y = F.relu(self.conv2(x) - 0.1, inplace=True)
        y = y.sub(0.05).relu_()
        y = self.drop(self.relu(y - 0.02))
        return self.head(torch.tanh(y.mean((2, 3))))


def by_hand(model, x):
    """Every layer by its traced name, computed out of place, and the logits."""
    conv1 = model.conv1(x)
    norm = model.norm(conv1)
    first = F.relu(norm)
    conv2 = model.conv2(first)
    second = F.relu(conv2 - 0.1)
    third = F.relu(second - 0.05)
    fourth = F.relu(third - 0.02)
    tanh = torch.tanh(fourth.mean((2, 3)))
    layers = {
        "conv1": conv1, "norm": norm, "relu": first, "conv2": conv2, "F.relu": second, "F.relu-2": third,
        "relu-2": fourth, "F.tanh": tanh,
    }  # fmt: skip
    return layers, model.head(tanh)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SmallCNN()


def table_of(model, x, names=None):
    """The automatic selection, or the calls of these names, also those whose tensor is overwritten in place later."""
    with isolate_model(model):
        table = select_layers(trace_layers(model, model, x))
    return table if names is None else [replace(row, selected=row.name in names) for row in table]


NAMES = ["conv1", "norm", "relu", "conv2", "F.relu", "F.relu-2", "relu-2", "F.tanh"]


def test_gradients_with_respect_to_layers_equal_those_of_a_hand_written_forward_pass(model):
    x = torch.rand(7, 3, 8, 8)
    table = table_of(model, x, NAMES)
    with isolate_model(model, gradients=True):
        layers, logits = by_hand(model, x)
        truth = torch.autograd.grad(logits[:, 2].sum(), list(layers.values()))
        capture = capture_activations(model, model, x, table, gradients=True)
        assert [block.name for block in capture.layers] == list(layers)
        samples = [block.samples for block in capture.layers]
        found = torch.autograd.grad(capture.outputs[:, 2].sum(), samples)
    assert torch.equal(capture.outputs, logits)
    for block, gradient, layer, expected in zip(capture.layers, found, layers.values(), truth):
        assert torch.equal(block.samples, layer.flatten(1)), block.name
        assert torch.allclose(gradient, expected.flatten(1), rtol=1e-6, atol=1e-9), block.name
        assert gradient.count_nonzero()


def test_gradients_with_respect_to_weights_and_inputs_flow_through_the_blocks(model):
    x = torch.rand(7, 3, 8, 8)
    table = table_of(model, x)
    with isolate_model(model, gradients=True):
        leaf = x.clone().requires_grad_()
        layers, logits = by_hand(model, leaf)
        truth = torch.autograd.grad(layers["relu-2"][:, 0].sum() + logits.sum(), [leaf, *model.parameters()])
        capture = capture_activations(model, model, x, table, gradients=True, input_gradients=True)
        relu = next(block.samples for block in capture.layers if block.name == "relu-2")
        wanted = relu.view(layers["relu-2"].shape)[:, 0].sum() + capture.outputs.sum()
        found = torch.autograd.grad(wanted, [capture.inputs, *model.parameters()])
    assert torch.equal(capture.inputs, x)
    for gradient, expected in zip(found, truth):
        assert torch.allclose(gradient, expected, rtol=1e-5, atol=1e-7)
    assert not x.requires_grad


def test_a_tensor_that_is_overwritten_in_place_stays_shared_with_its_other_references():
    class Alias(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.relu = nn.Linear(4, 4), nn.ReLU(inplace=True)

        def forward(self, x):
            y = self.linear(x)
            self.relu(y)  # the result is used under the old name
            z = y.mul(2)
            z.sub_(0.1).relu_()
            return y + z

    torch.manual_seed(0)
    model, x = Alias(), torch.randn(5, 4)
    table = table_of(model, x, ["relu", "F.relu"])
    with isolate_model(model, gradients=True):
        y = F.relu(model.linear(x))
        z = F.relu(2 * y - 0.1)
        truth = torch.autograd.grad((y + z).sum(), [y, z])
        capture = capture_activations(model, model, x, table, gradients=True)
        found = torch.autograd.grad(capture.outputs.sum(), [block.samples for block in capture.layers])
    assert torch.equal(found[0], truth[0])
    assert torch.equal(found[1], truth[1])


def test_a_neuron_budget_gives_the_gradients_of_the_drawn_neurons(model):
    x = torch.rand(7, 3, 8, 8)
    table = table_of(model, x, ["relu", "F.relu-2"])
    with isolate_model(model, gradients=True):
        whole = capture_activations(model, model, x, table, gradients=True)
        part = capture_activations(model, model, x, table, 20, seed=3, gradients=True)
        truth = torch.autograd.grad(whole.outputs[:, 0].sum(), [block.samples for block in whole.layers])
        found = torch.autograd.grad(part.outputs[:, 0].sum(), [block.samples for block in part.layers])
    assert torch.equal(part.outputs, whole.outputs)
    for block, gradient, expected in zip(part.layers, found, truth):
        assert gradient.shape == (7, 20)
        assert torch.allclose(gradient, expected[:, block.kept_features])


def test_frozen_models_have_gradients_with_respect_to_their_layers(model):
    x = torch.rand(7, 3, 8, 8)
    table = table_of(model, x, NAMES)
    with isolate_model(model, gradients=True):
        before = capture_activations(model, model, x, table, gradients=True)
        truth = torch.autograd.grad(before.outputs[:, 1].sum(), [block.samples for block in before.layers])
    model.requires_grad_(False)
    with isolate_model(model, gradients=True):
        capture = capture_activations(model, model, x, table, gradients=True)
        found = torch.autograd.grad(capture.outputs[:, 1].sum(), [block.samples for block in capture.layers])
    assert all(map(torch.equal, found, truth))


def test_half_precision_layers_are_captured_in_float32_with_gradients():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.rand(5, 4)
    table = table_of(model, x)
    with isolate_model(model, gradients=True), torch.autocast("cpu", torch.bfloat16):
        capture = capture_activations(model, model, x, table, gradients=True)
        (gradient,) = torch.autograd.grad(capture.outputs[:, 0].sum(), capture.layers[0].samples)
    assert capture.layers[0].samples.dtype == gradient.dtype == torch.float32
    assert torch.equal(gradient, model[2].weight[0].bfloat16().float().expand(5, 8))


@pytest.mark.parametrize("family", ["resnet18", "densenet121", "vgg11", "mobilenet_v3_small"])
def test_values_with_and_without_gradients_are_equal(family):
    torch.manual_seed(0)
    model = getattr(models, family)(num_classes=10) if family != "vgg11" else models.vgg11(num_classes=10).features
    x = torch.rand(4, 3, 32, 32)
    table = table_of(model, x)
    with isolate_model(model):
        plain = capture_activations(model, model, x, table)
    with isolate_model(model, gradients=True):
        capture = capture_activations(model, model, x, table, gradients=True)
        target = capture.layers[-1].samples.sum() if capture.outputs is None else capture.outputs[:, 0].sum()
        torch.autograd.grad(target, [block.samples for block in capture.layers])
    for block, expected in zip(capture.layers, plain.layers, strict=True):
        assert torch.equal(block.samples, expected.samples), block.name
    assert (capture.outputs is None) == (plain.outputs is None)
    assert capture.outputs is None or torch.equal(capture.outputs, plain.outputs)


def test_batches_are_captured_one_at_a_time_and_leave_no_hook_between_them(model):
    x = torch.rand(10, 3, 8, 8)
    table = table_of(model, x, NAMES)
    with isolate_model(model, gradients=True):
        whole = capture_activations(model, model, x, table, gradients=True, input_gradients=True)
        truth = torch.autograd.grad(whole.outputs[:, 0].sum(), [whole.layers[4].samples, whole.inputs])
        found = []
        for capture in capture_batches(model, model, x, table, batch_size=4, input_gradients=True):
            assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
            found.append(torch.autograd.grad(capture.outputs[:, 0].sum(), [capture.layers[4].samples, capture.inputs]))
        assert [len(layer) for layer, _ in found] == [4, 4, 2]
        for index in (0, 1):
            assert torch.allclose(torch.cat([pair[index] for pair in found]), truth[index], atol=1e-7)
        with pytest.raises(ValueError, match="batch_size: must be a whole number ≥ 1, found 0"):
            next(capture_batches(model, model, x, table, batch_size=0))


def test_without_gradients_captures_are_detached(model):
    x = torch.rand(4, 3, 8, 8)
    table = table_of(model, x)
    capture = capture_activations(model.eval(), model, x, table)  # autograd is enabled here
    assert not capture.outputs.requires_grad
    assert not any(block.samples.requires_grad for block in capture.layers)
    assert capture.inputs is None


def snapshot(model):
    """Everything that must not change, by value, and the objects that must stay the same."""
    values = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    gradients = [(p.grad, None if p.grad is None else p.grad.clone(), p.requires_grad) for p in model.parameters()]
    flags = [module.training for module in model.modules()]
    states = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()
    return values, gradients, flags, states, list(model.buffers())


def assert_unchanged(model, before):
    values, gradients, flags, states, buffers = before
    assert all(torch.equal(tensor, values[name]) for name, tensor in model.state_dict().items())
    for parameter, (gradient, value, requires_grad) in zip(model.parameters(), gradients):
        assert parameter.grad is gradient
        assert gradient is None or torch.equal(gradient, value)
        assert parameter.requires_grad == requires_grad
    assert [module.training for module in model.modules()] == flags
    assert (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()) == states
    assert all(a is b for a, b in zip(model.buffers(), buffers, strict=True))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("fails", [False, True])
def test_a_measurement_that_calls_backward_or_raises_changes_nothing(model, fails):
    model.train()
    model.norm.eval()
    model.conv1.requires_grad_(False)
    model(torch.rand(4, 3, 8, 8)).sum().backward()
    model.head.weight.grad = None
    before = snapshot(model)
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    table = table_of(model, x)
    expected = pytest.raises(RuntimeError, match="boom") if fails else nullcontext()
    with expected, isolate_model(model, gradients=True):
        assert torch.is_grad_enabled()
        assert not any(module.training for module in model.modules())
        assert all(parameter.grad is None for parameter in model.parameters())
        capture = capture_activations(model, model, x, table, gradients=True)
        capture.outputs.sum().backward()
        model.norm.running_mean.add_(torch.rand(4))
        assert model.conv1.weight.grad is None
        assert model.head.weight.grad is not None
        model.requires_grad_(False)
        if fails:
            raise RuntimeError("boom")
    assert_unchanged(model, before)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_work_inside_validation_loops(mode):
    class Counting(SmallCNN):
        def __init__(self):
            super().__init__()
            self.register_buffer("scale", torch.ones(()))

        def forward(self, x):
            self.scale = self.scale * 1  # a new tensor, in inference mode an inference tensor
            return super().forward(x * self.scale)

    torch.manual_seed(0)
    model = Counting().eval()
    with mode():
        x = torch.rand(4, 3, 8, 8)
        model(x)
        scale = model.scale
        table = table_of(model, x)
        with isolate_model(model, gradients=True):
            capture = capture_activations(model, model, x, table, gradients=True, input_gradients=True)
            found = torch.autograd.grad(capture.outputs[:, 0].sum(), [capture.inputs, capture.layers[0].samples])
        assert all(gradient.count_nonzero() for gradient in found)
        assert not torch.is_grad_enabled()
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
        assert model.scale is scale


def test_what_cannot_be_differentiated_is_named(model):
    x = torch.rand(4, 3, 8, 8)
    table = table_of(model, x)
    with pytest.raises(ValueError, match="input_gradients: found True with gradients=False"):
        capture_activations(model, model, x, table, input_gradients=True)
    with isolate_model(model), pytest.raises(RuntimeError, match="autograd is disabled; capture inside `isolate_model"):
        capture_activations(model, model, x, table, gradients=True)
    ids = torch.randint(0, 9, (4, 5))
    embed = nn.Sequential(nn.Embedding(9, 8), nn.ReLU(), nn.Flatten(), nn.Linear(40, 3))
    with isolate_model(embed, gradients=True):
        capture = capture_activations(embed, embed, ids, table_of(embed, ids), gradients=True)
        assert torch.autograd.grad(capture.outputs.sum(), capture.layers[0].samples)[0].shape == (4, 40)
        with pytest.raises(ValueError, match=r"input_gradients: found inputs of dtype torch\.int64"):
            capture_activations(embed, embed, ids, (), gradients=True, input_gradients=True)
    derived = Batch.wrap({"image": x}, lambda batch: batch["image"] * 2)
    with (
        isolate_model(model, gradients=True),
        pytest.raises(ValueError, match="input_gradients: found inputs that are"),
    ):
        capture_activations(model, lambda b: model(b["image"]), derived, (), gradients=True, input_gradients=True)


def test_gradients_with_respect_to_the_inputs_of_a_dictionary(model):
    batch = Batch.wrap({"mask": torch.ones(4, 1, 1, 1), "image": torch.rand(4, 3, 8, 8)})
    call = ForwardArgs(["image"])
    with isolate_model(model, gradients=True):
        capture = capture_activations(model, lambda b: call(model, b), batch, (), gradients=True, input_gradients=True)
        (gradient,) = torch.autograd.grad(capture.outputs.sum(), capture.inputs)
    assert gradient.shape == (4, 3, 8, 8)
    assert torch.equal(capture.inputs, batch.inputs)

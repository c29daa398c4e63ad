"""Measurements that ask for gradients: right, and without any effect on the training."""

import pytest
import torch
from lightning.pytorch import Trainer
from models import Classifier
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens import FactorLens, FactorLensCallback, LensOptions
from lightning_factorlens.measurements import Measurement, Scalar


class Sensitivity(Measurement):
    """Mean size of the gradient of the largest output with respect to the last activation and to the input."""

    name = "sensitivity"
    needs = frozenset({"class_scores", "gradients"})
    scalars = (
        Scalar("layer_gradient", "{prefix}/layer_gradient", "Mean norm of the gradient at the last activation."),
        Scalar("input_gradient", "{prefix}/input_gradient", "Mean norm of the gradient at the input.", monitored=True),
    )

    def measure(self, context):
        layer_norms, input_norms = [], []
        for capture in context.gradient_captures(input_gradients=True):
            largest = capture.outputs.amax(1).sum()
            at_layer, at_input = torch.autograd.grad(largest, [capture.layers[-1].samples, capture.inputs])
            layer_norms.append(at_layer.norm(dim=1))
            input_norms.append(at_input.flatten(1).norm(dim=1))
        return {
            "layer_gradient": float(torch.cat(layer_norms).mean()),
            "input_gradient": float(torch.cat(input_norms).mean()),
        }


class Careless(Sensitivity):
    """Calls backward(), which writes to the parameters' gradients."""

    def measure(self, context):
        for capture in context.gradient_captures():
            capture.outputs.sum().backward()
        return super().measure(context)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 3))


def test_gradients_are_those_of_a_plain_forward_pass():
    model = network()
    images = torch.rand(150, 1, 8, 8)  # more than a batch
    observation = FactorLens(model, LensOptions(ranks=(1,)), [Sensitivity()], outputs="classes").observe(images)
    leaf = images.clone().requires_grad_()
    activation = torch.relu(model[0](leaf))
    largest = model[3](activation.flatten(1)).amax(1).sum()
    at_layer, at_input = torch.autograd.grad(largest, [activation, leaf])
    record = observation["sensitivity"]
    assert record["layer_gradient"] == pytest.approx(float(at_layer.flatten(1).norm(dim=1).mean()), rel=1e-5)
    assert record["input_gradient"] == pytest.approx(float(at_input.flatten(1).norm(dim=1).mean()), rel=1e-5)


class Net(Classifier):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x):
        return self.net(x)


def train(*callbacks):
    torch.manual_seed(1)
    data = TensorDataset(torch.rand(48, 1, 8, 8), torch.randint(0, 3, (48,)))
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accumulate_grad_batches=2,
    )
    torch.manual_seed(2)
    model = Net()
    trainer.fit(model, DataLoader(data, 16, shuffle=True), DataLoader(data, 16))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    return state, gradients, torch.get_rng_state()


@pytest.mark.parametrize("measurement", [Sensitivity, Careless])
def test_training_is_bit_for_bit_the_same(measurement):
    alone = train()
    callback = FactorLensCallback(
        max_overhead=None,
        probe_size=16,
        measurements=[measurement()],
        lens=LensOptions(ranks=(1,)),
        every_n_train_steps=1,  # between the batches of one optimizer step too
        on_error="raise",
        verbose=False,
    )
    observed = train(callback)
    assert len(callback.history) > 3
    assert all(torch.equal(alone[0][name], observed[0][name]) for name in alone[0])
    for before, after in zip(alone[1], observed[1]):
        assert (before is None) == (after is None)
        assert before is None or torch.equal(before, after)
    assert torch.equal(alone[2], observed[2])


class Unfinished(Measurement):
    """Reads the first capture only: the captures outlive the measurement, or an error's traceback holds them."""

    name = "unfinished"

    def __init__(self, needs, fails=False):
        self.needs = frozenset(needs)
        self.fails = fails
        self.held = []

    def measure(self, context):
        captures = context.gradient_captures()
        next(captures)
        if self.fails:
            raise ValueError("broken")
        self.held.append(captures)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("need", ["weights", "factorization", "forward"])
def test_captures_that_are_not_read_to_the_end_leave_the_model_as_it_was(need, fails):
    seen = []

    class Next(Measurement):
        name = "next"

        def measure(self, context):
            seen.append((context.model.training, torch.is_grad_enabled()))

    model = network().train()
    measurement = Unfinished({"gradients", need}, fails)
    lens = FactorLens(model, LensOptions(ranks=(1,)), [measurement, Next()], outputs="classes")
    if fails:
        with pytest.raises(ValueError, match="broken"):
            lens.observe(torch.rand(8, 1, 8, 8))
    else:
        lens.observe(torch.rand(8, 1, 8, 8))
        assert seen == [(True, True)]
    assert all(module.training for module in model.modules())
    assert torch.is_grad_enabled()
    measurement.held.clear()
    assert torch.is_grad_enabled()


def test_two_captures_at_once_are_refused():
    """Each would restore what it found, that is what the other one had changed."""

    class Two(Measurement):
        name = "two"
        needs = frozenset({"class_scores", "gradients"})

        def measure(self, context):
            for _ in zip(context.gradient_captures(), context.gradient_captures(input_gradients=True)):
                pass

    model = network().train()
    with pytest.raises(RuntimeError, match=r"gradient_captures: the measurement 'two' has begun to read others"):
        FactorLens(model, LensOptions(ranks=(1,)), [Two()], outputs="classes").observe(torch.rand(8, 1, 8, 8))
    assert all(module.training for module in model.modules())


def test_captures_that_nothing_refers_to_need_no_close():
    class Firsts(Measurement):
        name = "firsts"
        needs = frozenset({"class_scores", "gradients"})

        def measure(self, context):
            first = next(context.gradient_captures())
            second = next(context.gradient_captures())
            return {"difference": float((first.outputs - second.outputs).detach().abs().max())}

    observation = FactorLens(network(), LensOptions(ranks=(1,)), [Firsts()], outputs="classes").observe(
        torch.rand(8, 1, 8, 8)
    )
    assert observation["firsts"]["difference"] == 0
